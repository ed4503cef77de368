/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/hv_postmsg.
 */
#ifndef _HV_POSTMSG_DEVICE_H
#define _HV_POSTMSG_DEVICE_H

int hvpm_device_register(void);
void hvpm_device_unregister(void);

#endif /* _HV_POSTMSG_DEVICE_H */
