# SPDX-License-Identifier: GPL-2.0-only
#
# hv_postmsg: HvCallPostMessage answered inside KVM.
#
#   make              the module, against KDIR (the running kernel's headers)
#   make modules KERNEL=6.1|6.12
#                     the module for a supported Debian kernel, below build/; or,
#                     here and with selftests, for one that is built with checks:
#                     KERNEL=6.1-debug|6.12-debug|6.1-kcsan|6.12-kcsan
#   make demo [KERNEL=...]
#   make check        all that is to pass before a change lands, an hour or more
#   make check-full   that, and what takes hours; check-long only what takes hours
#   make kunit KERNEL=... | selftests KERNEL=... [TESTS=...] | vmbus KERNEL=... |
#        lint
#   make breaks KERNEL=... [BREAKS="WORD..."]
#                     break the module on purpose, see the tests fail
#   make bench KERNEL=6.1|6.12 [CASES="CASE..."]
#                     instructions per call, counted by the emulator; bench-accept
#                     commits to them, for check and for the documentation
#   make bench-profile KERNEL=6.1|6.12 [CASES="CASE..."]
#                     which functions they are executed in
#   make bench-scaling KERNEL=6.1|6.12
#                     which cache lines posts on two CPUs share, and what it costs
#   make stress KERNEL=... SECONDS=... [ROUNDS=1000] [SEED=...] [PARALLEL=1]
#                     VMs and processes that come and go, each message accounted for;
#                     and so many rounds of load, run and unload
#   make fuzz-kvm KERNEL=... [SECONDS=...] [SEED=... | INPUT=...]
#                     random calls beside a model; a -debug kernel extends the corpus
#   make reload KERNEL=... [ROUNDS=1000] [SEED=...]
#                     the latter alone
#   make coverage KERNEL=6.1|6.12 [TESTS=...]
#                     which lines kunit and the selftests run, and why not others
#   make fuzz [RUNS=1000000] [SEED=...]
#                     the module in user space beside a model: random hypercalls and
#                     ioctls, led by coverage
#   make install      module, header and udev rule; make dkms-install: by DKMS
#   make clean

KDIR ?= /lib/modules/$(shell uname -r)/build
KERNEL ?= 6.1
TESTS ?=
BREAKS ?=
ROUNDS ?= 1000
SEED ?=
KERNELS := 6.1 6.12
BUILD := $(CURDIR)/build
JOBS := $(shell nproc)

# Headers of a supported kernel: those of the image that the lab boots. A kernel
# with checks has a tree of objects, see selftests/lab/build-kernel.
headers = $(if $(findstring -,$(1)),$(BUILD)/kernel-$(1),$(lastword \
	$(shell ls -d /usr/src/linux-headers-$(1).[0-9]*-amd64 2>/dev/null | sort -V)))

.DELETE_ON_ERROR:

.PHONY: all
all:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

# One tree of objects per kernel: kbuild writes beside the sources.  COVERAGE=1: of
# a module that counts what is run of it, see selftests/coverage/run.
MODULE = $(BUILD)/module-$(KERNEL)$(if $(COVERAGE),-coverage)

.PHONY: modules
modules:
	@$(if $(findstring -,$(KERNEL)),selftests/lab/fetch --kernel $(KERNEL))
	@test -n "$(call headers,$(KERNEL))" || \
		{ echo "No headers for $(KERNEL): run selftests/lab/setup"; exit 1; }
	@mkdir -p $(MODULE)
	@rsync -a Kbuild hv_postmsg include kunit $(MODULE)/
	$(MAKE) -s -j$(JOBS) -C $(call headers,$(KERNEL)) M=$(MODULE) \
		$(if $(COVERAGE),CONFIG_HV_POSTMSG_COVERAGE=y) \
		KCFLAGS="$(KCFLAGS)" modules

# Kernel sources, for the KVM selftests library, UML and the lint tools.
.PRECIOUS: build/linux-%/.extracted
build/linux-%/.extracted:
	@mkdir -p $(BUILD)
	@flock $(BUILD)/.lock-source-$* selftests/lab/unpack $*

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
selftests: setup-tests-$(KERNEL)
	@# Not on to the makes in there: one has a TESTS of its own.
	@MAKEFLAGS= selftests/run $(KERNEL) $(TESTS)

.PHONY: vmbus
vmbus: setup-lab-$(KERNEL)
	@selftests/vmbus $(KERNEL)

.PHONY: lint
lint: setup-lint
	@selftests/lint

# Not in check: it takes too long.  BREAKS chooses, see selftests/breaks/run.
.PHONY: breaks
breaks: setup-all build/linux-$(firstword $(subst -, ,$(KERNEL)))/.extracted
	@selftests/breaks/run $(KERNEL) $(BREAKS)

# Executed instructions per call, of all cases or of CASES; see selftests/bench/run.
.PHONY: bench
bench: setup-lab-$(KERNEL)
	@selftests/bench/run $(KERNEL) $(CASES)

# In check: has a post become dearer than the committed figures?
.PHONY: bench-guard
bench-guard: setup-lab-$(KERNEL)
	@selftests/bench/run --guard $(KERNEL)

# In which functions, for some cases that a guest calls; see selftests/bench/profile.
.PHONY: bench-profile
bench-profile: setup-lab-$(KERNEL)
	@selftests/bench/profile $(KERNEL) $(CASES)

# What CPUs share that post at the same time; see selftests/bench/scaling.
.PHONY: bench-scaling
bench-scaling: setup-lab-$(KERNEL)
	@selftests/bench/scaling $(KERNEL)

# Make what "make bench" has just left the committed figures, and those of the page.
.PHONY: bench-accept
bench-accept:
	@selftests/bench/figures --accept $(KERNEL)

# Not in check: it takes as long as it is told.
.PHONY: stress
stress: setup-tests-$(KERNEL)
	@PARALLEL=$(PARALLEL) selftests/stress/run $(KERNEL) $(or $(SECONDS),60) $(ROUNDS) $(SEED)

# Not in check, where fuzz_test of the selftests stands for it: it goes on as long as
# it is told to.
.PHONY: fuzz-kvm
fuzz-kvm: setup-lab-$(KERNEL)
	@selftests/fuzz/lab/run $(KERNEL) $(if $(INPUT),--input $(INPUT),\
		$(or $(SECONDS),300) $(SEED))

# The second half of it alone.
.PHONY: reload
reload: setup-lab-$(KERNEL) modules
	@$(MAKE) -s -C selftests reload
	@selftests/stress/reload $(KERNEL) $(ROUNDS) $(SEED)

# Not in check either; see selftests/coverage/run.
.PHONY: coverage
coverage: setup-kunit setup-tests-$(KERNEL)-debug
	@MAKEFLAGS= selftests/coverage/run $(KERNEL) $(TESTS)

# So many hypercalls, and a quarter as many ioctls; see selftests/fuzz/run.
.PHONY: fuzz
fuzz: setup-fuzz build/linux-6.12/.extracted
	@RUNS=$(RUNS) SEED=$(SEED) selftests/fuzz/run

.PHONY: check check-full check-long
check: setup-all
	@selftests/check

check-full: setup-all
	@selftests/check --full

check-long: setup-all
	@selftests/check --long

# --- install: by hand, or by DKMS.  DESTDIR= stages into another root. ---

# One place for the version: what the module says of itself.
VERSION = $(shell sed -n 's/^MODULE_VERSION("\(.*\)");$$/\1/p' hv_postmsg/main.c)

# What a DKMS tree needs, and nothing else.
DKMS_FILES := dkms.conf Kbuild LICENSE include/uapi/linux/hv_postmsg.h \
	$(wildcard hv_postmsg/*.[ch] hv_postmsg/*/*.[chS])

.PHONY: install
install: all install-files
	$(MAKE) -C $(KDIR) M=$(CURDIR) INSTALL_MOD_PATH=$(DESTDIR) \
		INSTALL_MOD_DIR=updates CONFIG_MODULE_SIG_ALL= modules_install
	@# Signing is left to whoever has a key (see Documentation/user.rst).
	@# The headers packages lack the System.map that kbuild's own depmod wants,
	@# and "make kernelrelease" of Debian's 6.1 is not the kernel's release.
	$(if $(DESTDIR),,depmod -a $$(modinfo -F vermagic hv_postmsg.ko | cut -d ' ' -f 1))

.PHONY: dkms-install
dkms-install: install-files
	@for file in $(DKMS_FILES); do \
		install -D -m 644 $$file \
			$(DESTDIR)/usr/src/hv_postmsg-$(VERSION)/$$file || exit 1; \
	done
	@echo "Now: dkms install hv_postmsg/$(VERSION)"

# The header and the udev rule go with either.
.PHONY: install-files
install-files:
	install -D -m 644 include/uapi/linux/hv_postmsg.h \
		$(DESTDIR)/usr/include/linux/hv_postmsg.h
	install -D -m 644 Documentation/70-hv_postmsg.rules \
		$(DESTDIR)/lib/udev/rules.d/70-hv_postmsg.rules

.PHONY: clean
clean:
	rm -rf $(BUILD)
	rm -f modules.order Module.symvers hv_postmsg.ko hv_postmsg.mod* \
		hv_postmsg.o .module-common.o .*.cmd
	find hv_postmsg \( -name '*.o' -o -name '.*.cmd' \) -delete
