/* What a durable write to two places costs at least on this machine, in microseconds (medians):
 *
 * floor trip COUNT PAUSE_US   4 KiB over loopback to another process and 16 bytes back. Both sleep in
 *                             epoll, each on a core of its own; PAUSE_US between two trips, so that
 *                             the cores sleep as they do while a disk is waited for.
 * floor sync COUNT FILE       4 KiB appended to FILE, which was filled before, and fdatasync. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define WRITE_BYTES 4096u
#define ANSWER_BYTES 16u

static char bytes[1 << 20];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tell_median(double *all, int count) {
    qsort(all, (size_t)count, sizeof *all, by_size);
    printf("%.2f\n", all[count / 2]);
}

static void stay_on(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    /* With one core both have to share it. */
    sched_setaffinity(0, sizeof set, &set);
}

static int watched(int fd) {
    int on = 1, poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event)) die("epoll");
    return poll;
}

/* Takes in `n` bytes, asleep until they come; nonzero: the other side is gone. */
static int take(int poll, int fd, size_t n) {
    struct epoll_event event;
    for (size_t have = 0; have < n;) {
        if (epoll_wait(poll, &event, 1, -1) < 0) die("epoll_wait");
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got <= 0) return -1;
        have += (size_t)got;
    }
    return 0;
}

static void trip(int count, int pause_us) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int door = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(door, (void *)&at, sizeof at) || listen(door, 1)) die("listen");
    if (getsockname(door, (void *)&at, &length)) die("getsockname");
    pid_t far = fork();
    if (far < 0) die("fork");
    if (far == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        stay_on(1);
        int fd = accept(door, 0, 0), poll = watched(fd);
        while (!take(poll, fd, WRITE_BYTES))
            if (write(fd, bytes, ANSWER_BYTES) != ANSWER_BYTES) break;
        exit(0);
    }
    stay_on(0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (void *)&at, sizeof at)) die("connect");
    int poll = watched(fd);
    double *all = calloc((size_t)count, sizeof *all);
    for (int i = 0; i < count; i++) {
        if (pause_us) usleep((useconds_t)pause_us);
        double begun = now_us();
        if (write(fd, bytes, WRITE_BYTES) != WRITE_BYTES) die("write");
        if (take(poll, fd, ANSWER_BYTES)) die("the other side is gone");
        all[i] = now_us() - begun;
    }
    tell_median(all, count);
}

static void sync_appends(int count, const char *path) {
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0) die(path);
    for (uint64_t at = 0; at < (uint64_t)count * WRITE_BYTES; at += sizeof bytes)
        if (pwrite(fd, bytes, sizeof bytes, (off_t)at) != sizeof bytes) die(path);
    if (fsync(fd)) die("fsync");
    memset(bytes, 0x5a, WRITE_BYTES);
    double *all = calloc((size_t)count, sizeof *all);
    for (int i = 0; i < count; i++) {
        double begun = now_us();
        if (pwrite(fd, bytes, WRITE_BYTES, (off_t)i * WRITE_BYTES) != WRITE_BYTES) die("append");
        if (fdatasync(fd)) die("fdatasync");
        all[i] = now_us() - begun;
    }
    tell_median(all, count);
}

int main(int count, char **words) {
    if (count < 4) return fprintf(stderr, "floor: see the head of floor.c\n"), 2;
    if (!strcmp(words[1], "trip")) trip(atoi(words[2]), atoi(words[3]));
    else sync_appends(atoi(words[2]), words[3]);
}
