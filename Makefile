# SPDX-License-Identifier: GPL-2.0-only
#
# hv_postmsg: HvCallPostMessage answered inside KVM.
#
#   make              the module, against KDIR (the running kernel's headers)
#   make modules KERNEL=6.1|6.12
#                     the module for a supported Debian kernel, below build/
#   make demo [KERNEL=...]
#   make check        kunit + selftests on both kernels + lint
#   make kunit | selftests KERNEL=... | lint
#   make install      module, header and udev rule; make dkms-install: by DKMS
#   make clean

KDIR ?= /lib/modules/$(shell uname -r)/build
KERNEL ?= 6.1
KERNELS := 6.1 6.12
BUILD := $(CURDIR)/build
JOBS := $(shell nproc)

# Headers of a supported kernel: those of the image that the lab boots.
headers = $(lastword $(shell ls -d /usr/src/linux-headers-$(1).[0-9]*-amd64 2>/dev/null | sort -V))

.DELETE_ON_ERROR:

.PHONY: all
all:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

# One tree of objects per kernel: kbuild writes beside the sources.
.PHONY: modules
modules:
	@test -n "$(call headers,$(KERNEL))" || \
		{ echo "No headers for $(KERNEL): run selftests/lab/setup"; exit 1; }
	@mkdir -p $(BUILD)/module-$(KERNEL)
	@rsync -a Kbuild hv_postmsg include kunit $(BUILD)/module-$(KERNEL)/
	$(MAKE) -s -j$(JOBS) -C $(call headers,$(KERNEL)) \
		M=$(BUILD)/module-$(KERNEL) KCFLAGS="$(KCFLAGS)" modules

# Kernel sources, for the KVM selftests library, UML and the lint tools.
.PRECIOUS: build/linux-%/.extracted
build/linux-%/.extracted:
	@echo "Unpacking the Linux $* source"
	@mkdir -p $(BUILD)
	@rm -rf $(BUILD)/linux-$* $(BUILD)/linux-source-$*
	@tar -C $(BUILD) -xf /usr/src/linux-source-$*.tar.xz
	@mv $(BUILD)/linux-source-$* $(BUILD)/linux-$*
	@touch $@

# Each installs what it needs and is missing; see selftests/lab/setup.
.PHONY: setup-%
setup-%:
	@selftests/lab/setup $*

.PHONY: demo
demo: setup-lab-$(KERNEL)
	@selftests/demo/run $(KERNEL)

.PHONY: kunit
kunit: setup-kunit build/linux-$(KERNEL)/.extracted
	@kunit/run $(KERNEL)

.PHONY: selftests
selftests: setup-lab-$(KERNEL)
	@selftests/run $(KERNEL)

.PHONY: lint
lint: setup-lint
	@selftests/lint

.PHONY: check
check: setup-all
	@selftests/check

.PHONY: clean
clean:
	rm -rf $(BUILD)
	rm -f modules.order Module.symvers hv_postmsg.ko hv_postmsg.mod* \
		hv_postmsg.o .*.cmd
	find hv_postmsg \( -name '*.o' -o -name '.*.cmd' \) -delete
