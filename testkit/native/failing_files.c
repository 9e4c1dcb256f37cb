/*
 * Makes calls on files fail at random, as a broken or full disk does.
 *
 * Loaded into a program with LD_PRELOAD. Three variables name the files:
 *   FAILING_FILES_CONTROL   the control file, mapped by every program that has this library
 *   FAILING_FILES_DATABASE  prefix of the paths of the database and its companions (-wal, -shm, -journal)
 *   FAILING_FILES_BLOBS     prefix of the paths of the stored blobs
 *
 * The control file holds 32-bit words in native order. The test writes the first four at any time:
 *   0         errno of a failed call
 *   1         the calls that may fail: bit n stands for number n of enum call
 *   2         chance of failure on the database, in 1/10,000
 *   3         chance of failure on the blobs, in 1/10,000
 * The library counts the failed calls in the others, by call: 4 to 9 on the database, 10 to 15 on the blobs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum call { WRITE, PWRITE, SYNC, TRUNCATE, RENAME, OPEN, CALLS };
enum area { DATABASE, BLOBS, AREAS };

enum { ERRNO_WORD = 0, CALLS_WORD = 1, CHANCE_WORD = 2, COUNT_WORD = CHANCE_WORD + AREAS };
#define WORDS (COUNT_WORD + AREAS * CALLS)

static uint32_t *control;
static const char *prefixes[AREAS];

/* The function of the C library with the same name. */
#define ORIGINAL(name)                                   \
    static __typeof__(&name) original;                   \
    if (!original)                                       \
        original = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("FAILING_FILES_CONTROL");
    prefixes[DATABASE] = getenv("FAILING_FILES_DATABASE");
    prefixes[BLOBS] = getenv("FAILING_FILES_BLOBS");
    if (!path || !prefixes[DATABASE] || !prefixes[BLOBS])
        return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return;
    void *mapped = mmap(NULL, WORDS * sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        control = mapped;
}

/* A random number below 10,000, from a state of each thread's own. */
static uint32_t draw(void)
{
    static __thread unsigned state;
    if (!state)
        state = (unsigned)(uintptr_t)&state ^ (unsigned)getpid() ^ (unsigned)time(NULL);
    return (uint32_t)rand_r(&state) % 10000;
}

/* Returns whether any call may fail now. Usually none may, and nothing else is checked. */
static int is_armed(void)
{
    return control && (control[CHANCE_WORD + DATABASE] || control[CHANCE_WORD + BLOBS]);
}

/* Decides whether a call on a path fails, and counts it if so. */
static int path_fails(enum call call, const char *path)
{
    if (!(control[CALLS_WORD] >> call & 1))
        return 0;
    for (int area = 0; path && area < AREAS; area++) {
        if (strncmp(path, prefixes[area], strlen(prefixes[area])) != 0)
            continue;
        if (draw() >= control[CHANCE_WORD + area])
            return 0;
        __sync_fetch_and_add(&control[COUNT_WORD + area * CALLS + call], 1);
        return 1;
    }
    return 0;
}

/* The same for an open file. */
static int file_fails(enum call call, int file)
{
    if (!is_armed())
        return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return path_fails(call, path);
}

static int fail(void)
{
    errno = (int)control[ERRNO_WORD];
    return -1;
}

/* Half of the failing writes leave half of their bytes in the file. */
static size_t torn(size_t size)
{
    return draw() % 2 ? size / 2 : 0;
}

ssize_t write(int file, const void *bytes, size_t size)
{
    ORIGINAL(write);
    if (!file_fails(WRITE, file))
        return original(file, bytes, size);
    if (torn(size) && original(file, bytes, size / 2) < 0)
        return -1;
    return fail();
}

ssize_t writev(int file, const struct iovec *pieces, int count)
{
    ORIGINAL(writev);
    return file_fails(WRITE, file) ? fail() : original(file, pieces, count);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t offset)
{
    ORIGINAL(pwrite);
    if (!file_fails(PWRITE, file))
        return original(file, bytes, size, offset);
    if (torn(size) && original(file, bytes, size / 2, offset) < 0)
        return -1;
    return fail();
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t offset)
{
    ORIGINAL(pwrite64);
    if (!file_fails(PWRITE, file))
        return original(file, bytes, size, offset);
    if (torn(size) && original(file, bytes, size / 2, offset) < 0)
        return -1;
    return fail();
}

int fsync(int file)
{
    ORIGINAL(fsync);
    return file_fails(SYNC, file) ? fail() : original(file);
}

int fdatasync(int file)
{
    ORIGINAL(fdatasync);
    return file_fails(SYNC, file) ? fail() : original(file);
}

int ftruncate(int file, off_t size)
{
    ORIGINAL(ftruncate);
    return file_fails(TRUNCATE, file) ? fail() : original(file, size);
}

int ftruncate64(int file, off64_t size)
{
    ORIGINAL(ftruncate64);
    return file_fails(TRUNCATE, file) ? fail() : original(file, size);
}

int rename(const char *from, const char *to)
{
    ORIGINAL(rename);
    return is_armed() && path_fails(RENAME, to) ? fail() : original(from, to);
}

/* The mode is there only if a file may be created. */
#define MODE_OF(flags, mode)                             \
    mode_t mode = 0;                                     \
    if ((flags) & O_CREAT) {                             \
        va_list arguments;                               \
        va_start(arguments, flags);                      \
        mode = va_arg(arguments, mode_t);                \
        va_end(arguments);                               \
    }

int open(const char *path, int flags, ...)
{
    ORIGINAL(open);
    MODE_OF(flags, mode)
    return is_armed() && path_fails(OPEN, path) ? fail() : original(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    ORIGINAL(open64);
    MODE_OF(flags, mode)
    return is_armed() && path_fails(OPEN, path) ? fail() : original(path, flags, mode);
}
