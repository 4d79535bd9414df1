#!/bin/sh
# rustdoc.sh ARGUMENT...: rustdoc as cargo calls it, which here also looks at the number behind `compile_fail`. A stable one
# takes whatever does not compile, a misspelt name too.
RUSTC_BOOTSTRAP=1 exec rustdoc "$@"
