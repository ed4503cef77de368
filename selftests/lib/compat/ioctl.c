// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets the KVM selftests library of 6.12 run on 6.1
 *
 * The library insists on KVM_SET_USER_MEMORY_REGION2, which came with 6.8.  For
 * memory without a guest_memfd it does what KVM_SET_USER_MEMORY_REGION does.
 * The library, and only it, is compiled to call this in place of ioctl().
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>

int hvpm_library_ioctl(int fd, unsigned long request, ...);

int hvpm_library_ioctl(int fd, unsigned long request, ...)
{
	const struct kvm_userspace_memory_region2 *region2;
	struct kvm_userspace_memory_region region;
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);

	if (request == KVM_CHECK_EXTENSION && (long)arg == KVM_CAP_USER_MEMORY2)
		return 1;
	ret = ioctl(fd, request, arg);
	if (request != KVM_SET_USER_MEMORY_REGION2 || ret != -1 || errno != ENOTTY)
		return ret;

	region2 = arg;
	if (region2->flags & KVM_MEM_GUEST_MEMFD) {
		errno = EINVAL;
		return -1;
	}
	region.slot = region2->slot;
	region.flags = region2->flags;
	region.guest_phys_addr = region2->guest_phys_addr;
	region.memory_size = region2->memory_size;
	region.userspace_addr = region2->userspace_addr;
	return ioctl(fd, KVM_SET_USER_MEMORY_REGION, &region);
}
