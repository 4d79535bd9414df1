#include <sentinel.h>

/* The C half of the program: the version of the library that was loaded. */
const char *plain_version(void);

const char *plain_version(void)
{
    return sentinel_version();
}
