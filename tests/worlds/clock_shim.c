/* Shifts the wall clock of a process by the seconds (a 64-bit integer) in the file that CLOCK_SHIM names; read anew at every look at the
   clock, so that it jumps in the middle of a run. Preloaded (LD_PRELOAD). Clocks that only measure (CLOCK_MONOTONIC) stay as they are.
   Waits until a moment of the wall clock are shifted back, as the kernel's clock stays as it is: they would end at once, again and again. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *shift;

static int64_t off(void) {
    static int looked;
    if (!looked) {
        looked = 1;
        const char *name = getenv("CLOCK_SHIM");
        int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
        if (file >= 0) {
            void *at = mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
            if (at != MAP_FAILED) shift = at;
            close(file);
        }
    }
    return shift ? *shift : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += off();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *also) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (also) *also = now.tv_sec;
    return now.tv_sec;
}

/* A moment of the wall clock as the kernel counts it; one of CLOCK_MONOTONIC, which counts from the start of the machine, stays. */
static struct timespec kernels(const struct timespec *until) {
    struct timespec moment = *until;
    if (moment.tv_sec > 1000000000) moment.tv_sec -= off();
    return moment;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real) real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    struct timespec moment = kernels(until);
    return real(cond, mutex, &moment);
}

int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict until) {
    static int (*real)(sem_t *, const struct timespec *);
    if (!real) real = (int (*)(sem_t *, const struct timespec *))dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec moment = kernels(until);
    return real(sem, &moment);
}

long syscall(long number, ...) {
    static long (*real)(long, ...);
    if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    long a[6];
    va_list list;
    va_start(list, number);
    for (int n = 0; n < 6; n++) a[n] = va_arg(list, long);
    va_end(list);
    struct timespec moment;
    if (number == SYS_futex && (a[1] & FUTEX_CLOCK_REALTIME) && a[3]) {
        moment = kernels((const struct timespec *)a[3]);
        a[3] = (long)&moment;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
