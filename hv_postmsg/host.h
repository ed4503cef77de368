/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Host partition: endpoints and connections of a process, no VPs.
 */
#ifndef _HV_POSTMSG_HOST_H
#define _HV_POSTMSG_HOST_H

struct hvpm_partition;

struct hvpm_partition *hvpm_host_create(void);

#endif /* _HV_POSTMSG_HOST_H */
