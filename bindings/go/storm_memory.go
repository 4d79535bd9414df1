//go:build storm

package sentinel

/*
#include <stdlib.h>
#if defined(__GLIBC__)
#include <malloc.h>
static size_t in_use(void) { struct mallinfo2 all = mallinfo2(); return all.uordblks + all.hblkhd; }
#else
static size_t in_use(void) { return 0; }
#endif
*/
import "C"

// allocated is how many bytes C has of malloc, 0 where that is not told.
func allocated() int { return int(C.in_use()) }
