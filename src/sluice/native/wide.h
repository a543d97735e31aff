/* One body, compiled for the vectors that every machine has and for those of AVX2, which are twice as wide. */
#ifndef SLUICE_WIDE_H
#define SLUICE_WIDE_H

#include "cpu.h"
#include "kernels.h"

#define BODY static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2")))

/* Asked once: in a virtual machine the processor takes microseconds to answer. Threads may all ask, and note the same. */
static inline int wide(void) {
    static _Atomic int known; /* 0: not asked yet; 1: no; 2: yes */
    if (!known) known = 1 + has_avx2();
    return known == 2;
}

/* `scope` is `static`, or EXPORT with a name that begins with sluice_. */
#define WIDE(scope, result, name, parameters, arguments)                                                               \
    AVX2 static result name##_avx2 parameters { return name##_body arguments; }                                        \
    scope result name parameters { return wide() ? name##_avx2 arguments : name##_body arguments; }
#else
#define WIDE(scope, result, name, parameters, arguments)                                                               \
    scope result name parameters { return name##_body arguments; }
#endif

#endif
