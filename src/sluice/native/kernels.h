/* What every kernel shares: plain C11, no global state, nothing allocated that is not freed before it returns. */
#ifndef SLUICE_KERNELS_H
#define SLUICE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

#endif
