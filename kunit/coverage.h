/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What libgcov offers, whose own header is not for kernels.
 */
#ifndef _HV_POSTMSG_KUNIT_COVERAGE_H
#define _HV_POSTMSG_KUNIT_COVERAGE_H

void __gcov_dump(void);

#endif /* _HV_POSTMSG_KUNIT_COVERAGE_H */
