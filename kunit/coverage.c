// SPDX-License-Identifier: GPL-2.0-only
/*
 * Write what was counted as UML ends, see selftests/coverage/run.  libgcov would do
 * so by a destructor, but UML's linker script leaves that out of the list of them.
 */
#include <init.h>

#include "coverage.h"

__uml_exitcall(__gcov_dump);
