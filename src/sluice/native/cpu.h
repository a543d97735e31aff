/* What this processor can do beyond the baseline. __builtin_cpu_supports wants a runtime that zig does not bring. */
#ifndef SLUICE_CPU_H
#define SLUICE_CPU_H

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdint.h>

/* Registers that the system saves: 6 for those of AVX, 0xe6 for those of AVX-512 too. */
static inline int saves(uint32_t wanted) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27))) return 0;
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & wanted) == wanted;
}

static inline int has_avx2(void) {
    uint32_t a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 5)) && saves(0x06);
}

static inline int has_avx512f(void) {
    uint32_t a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 16)) && saves(0xe6);
}

/* avx512f, avx512vpopcntdq */
static inline int has_vpopcntdq(void) {
    uint32_t a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 16)) && (c & (1u << 14)) && saves(0xe6);
}
#else
static inline int has_vpopcntdq(void) { return 0; }
#endif

#endif
