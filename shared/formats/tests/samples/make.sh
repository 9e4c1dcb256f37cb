#!/bin/sh
# Generates the samples, with ffmpeg 5.1 of Debian 12. The results are in the repository, so that the tests
# do not need ffmpeg. All samples last 1.5 seconds; the videos have 64 by 48 pixels.
set -e
cd "$(dirname "$0")"

make() {
	ffmpeg -nostdin -v error -y "$@"
}
picture="-f lavfi -i testsrc=size=64x48:rate=4:duration=1.5"
sound="-f lavfi -i sine=frequency=440:sample_rate=8000:duration=1.5"
silence="-f lavfi -i anullsrc=sample_rate=8000:channel_layout=mono:duration=1.5"
exact="-fflags +bitexact -flags +bitexact -map_metadata -1"
film="$picture $sound -pix_fmt yuv420p -c:v libx264 -c:a aac -b:a 8k $exact"

make $film moov-last.mp4
make $film -movflags +faststart moov-first.mp4
make $film video.mov
make $film video.mkv
make $film -movflags +frag_keyframe+empty_moov fragmented.mp4
# Rotated by 90 degrees, as phones record, and with the long settings that x265 stores in the header.
make $picture -pix_fmt yuv420p -c:v libx265 -x265-params log-level=none -tag:v hvc1 \
	-metadata:s:v rotate=90 -fflags +bitexact turned-hevc.mp4
make $picture $sound -pix_fmt yuv420p -c:v libvpx -b:v 20k -c:a libvorbis $exact video.webm
make $picture -pix_fmt yuv420p -c:v libvpx -b:v 20k $exact -f webm - >streamed.webm
make $sound -c:a aac -b:a 8k $exact sound.m4a
make $sound -c:a aac -b:a 8k $exact sound.aac
make $sound -c:a libvorbis $exact sound.ogg
make $sound -c:a libopus -b:a 8k $exact sound.opus
make $silence -c:a flac $exact sound.flac
make $silence -c:a pcm_u8 $exact sound.wav
make $sound -c:a libmp3lame -b:a 8k $exact sound.mp3
# Without the Xing frame, which contains the number of frames.
make $sound -c:a libmp3lame -b:a 8k -write_xing 0 -id3v2_version 0 $exact no-count.mp3
