// Lets a binary that is built on a new system run wherever Node itself runs (glibc 2.28): names the old
// version of each function whose version a later glibc has raised. To be included where such a function is
// called. scripts/prebuild.js checks that nothing newer is left.
#pragma once

#include <climits>  // with any header of the C library comes __GLIBC__

#if defined(__GLIBC__) && defined(__x86_64__)
#define BALLERMANN_FIRST_GLIBC "GLIBC_2.2.5"
#elif defined(__GLIBC__) && defined(__aarch64__)
#define BALLERMANN_FIRST_GLIBC "GLIBC_2.17"
#endif

#ifdef BALLERMANN_FIRST_GLIBC
__asm__(".symver exp, exp@" BALLERMANN_FIRST_GLIBC);
__asm__(".symver pthread_sigmask, pthread_sigmask@" BALLERMANN_FIRST_GLIBC);
#endif
