// Takes the place of what glibc has had only since 2.32; see old_glibc.hpp.

#include <climits>

#ifdef __GLIBC__
// libstdc++ counts the owners of a shared_ptr without atomics while this says that there is one thread. Node
// has several. Hidden, it is found by the addon alone, which then does not ask glibc for its own.
extern "C" __attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
#endif
