#!/bin/sh
# Builds every image from compiled programs, on a root file system with nothing but the libraries that they
# link with, and starts each as a container would: as the image's user, with the image's variables, on a
# read-only root file system. To be run by root in a network namespace.
#
#   images.sh REPOSITORY PROGRAMS
set -eu
repository=$1
programs=$2
work=$(mktemp -d)
chmod 755 "$work"
running=

end() {
    status=$?
    for pid in $running; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
    exit "$status"
}
trap end EXIT

fail() {
    echo "$*" >&2
    cat "$work"/*.log >&2 || true
    exit 1
}

images() {
    buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run" "$@"
}

# Makes the base of the images.
make_base() {
    base=$work/base
    mkdir -p "$base/etc/ssl/certs" "$base/tmp"
    cp /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/"
    ldd "$programs/media" | grep -o '/[^ ]*' | while read -r library; do
        cp -L --parents "$library" "$base/"
    done
    container=$(images from scratch)
    images copy --quiet "$container" "$base" / >/dev/null
    images commit --quiet "$container" localhost/base >/dev/null
}

build() {
    context=$work/context
    mkdir -p "$context/deploy/prebuilt"
    cp -P "$repository/.containerignore" "$repository/.dockerignore" "$repository/LICENSE" "$context/"
    for program in media media-api media-worker media-migrate; do
        # Most of a debug build is debug information.
        strip -o "$context/deploy/prebuilt/$program" "$programs/$program"
    done
    for target in media media-api media-worker media-migrate; do
        images bud --quiet --layers --isolation chroot --build-arg BASE=localhost/base \
            --build-arg PROGRAMS=prebuilt --target "$target" --tag "localhost/$target" \
            --file "$repository/deploy/Containerfile" "$context" >/dev/null
        root=$(images mount "$(images from "localhost/$target")")
        ln -s "$root" "$work/root-$target"
    done
}

# Prints a field of an image's configuration.
configured() {
    images inspect --type image --format "{{range .OCIv1.Config.$2}}{{println .}}{{end}}" "localhost/$1"
}

# run IMAGE DIRECTORY [VARIABLE=VALUE…] -- [ARGUMENT…]: executes the program of an image, which may write
# to that directory only.
run() {
    image=$1
    directory=$2
    shift 2
    variables=$(configured "$image" Env)
    while [ "$1" != -- ]; do
        variables="$variables $1"
        shift
    done
    shift
    [ $# -gt 0 ] || set -- $(configured "$image" Cmd)
    user=$(images inspect --type image --format '{{.OCIv1.Config.User}}' "localhost/$image")
    exec env -i $variables directory="$directory" unshare --mount sh -eu -c '
        root=$1 writable=$2 user=$3
        shift 3
        mount --bind "$root" "$root"
        mount -o remount,bind,ro "$root"
        mount --bind "$writable" "$root$directory"
        exec chroot --userspec="$user" --groups= "$root" "$@"
    ' sh "$(readlink "$work/root-$image")" "$work/writable" "$user" $(configured "$image" Entrypoint) "$@"
}

# Waits until a program of an image is ready, and checks its user and its root file system.
ready() {
    pid=$1
    url=$2
    tries=0
    until curl --silent --fail --output "$work/answer" "$url"; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] && kill -0 "$pid" 2>/dev/null || fail "$url does not answer"
        sleep 0.1
    done
    [ "$(cat "$work/answer")" = ok ] || fail "$url answers $(cat "$work/answer")"
    grep -q '^Uid:.65532.65532.65532.65532$' "/proc/$pid/status" || fail "$url: another user"
    grep -q ' / ro,' "/proc/$pid/mountinfo" || fail "$url: its root can be written to"
}

stop() {
    kill -TERM "$1"
    wait "$1" || fail "a program ends with $? when it is told to stop"
}

ip link set lo up
make_base
build

secret=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
fresh() {
    rm -rf "$work/writable"
    mkdir "$work/writable"
    chown 65532:65532 "$work/writable"
}

# `media` in one process, with authentication as the only setting: without it, it does not start.
fresh
if (run media /data --) 2>"$work/refusal.log"; then
    fail "it starts without authentication"
fi
grep -q MEDIA_JWT_SECRET "$work/refusal.log" || fail "it does not name the missing setting"
(run media /data MEDIA_JWT_SECRET="$secret" -- 2>"$work/media.log") &
media=$!
running="$running $media"
ready "$media" http://127.0.0.1:8080/readyz
stop "$media"

# The separate programs, one after the other, because an SQLite file is for one program at a time.
fresh
parts="DATABASE_URL=sqlite:///tmp/media.db MEDIA_STORAGE_URL=file:/tmp/blobs"
(run media-migrate /tmp $parts -- wait 2>"$work/wait.log") &
waiting=$!
running="$running $waiting"
(run media-migrate /tmp $parts -- 2>"$work/migrate.log") || fail "the schema cannot be created"
wait "$waiting" || fail "media-migrate wait fails"
(run media-api /tmp $parts MEDIA_JWT_SECRET="$secret" -- 2>"$work/api.log") &
api=$!
running="$running $api"
ready "$api" http://127.0.0.1:8080/readyz
(run media-api /tmp $parts MEDIA_JWT_SECRET="$secret" -- --probe 2>"$work/probe.log") ||
    fail "the API is not healthy"
stop "$api"
(run media-worker /tmp $parts -- 2>"$work/worker.log") &
worker=$!
running="$running $worker"
ready "$worker" http://127.0.0.1:8081/readyz
(run media-worker /tmp $parts -- --probe 2>>"$work/probe.log") || fail "the worker is not healthy"
stop "$worker"
if (run media-worker /tmp $parts -- --probe 2>>"$work/probe.log"); then
    fail "a worker that has ended is healthy"
fi
