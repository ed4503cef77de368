/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_ASM_APICDEF_H
#define _FUZZ_ASM_APICDEF_H

#define APIC_DEST_SELF		0x40000
#define APIC_DM_FIXED		0

#endif /* _FUZZ_ASM_APICDEF_H */
