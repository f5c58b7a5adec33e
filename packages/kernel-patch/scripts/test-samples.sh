#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Builds the modules of ../samples for Debian's stock kernel, and tests them in
# QEMU. Prints `N passed, N failed`.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/vm.sh"

exec 3>&1
vm_require

kernel=$(vm_stock_kernel)
vm_program="$vm_package/test/samples/samples_test.c $vm_package/test/guest.c"
vm_initramfs samples >/dev/null
root=$vm_cache/initramfs-samples
mkdir "$root/samples"
vm_samples "$root/samples"
tar -xzf "$kernel.modules.tar.gz" -O uio/uio.ko >"$root/modules/uio.ko"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$root.cpio.gz"

console=$vm_cache/console-samples.log
vm_boot "$kernel" "$root.cpio.gz" 1024 300 intel_iommu=on \
	'-device intel-iommu,intremap=on' >"$console"
grep -aE '^(ok |not ok|  )' "$console" || true
counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$console")
good=${counts% *} bad=${counts#* }
if ! grep -aq '^guest: end' "$console" || [ -z "$counts" ]; then
	echo "not ok the guest did not come to its end; the last of its console:"
	tail -n 60 "$console"
	bad=$((${bad:-0} + 1))
elif vm_splats "$console" | grep -q .; then
	echo "not ok the kernel complained:"
	vm_splats "$console"
	bad=$((bad + 1))
fi
echo "${good:-0} passed, $bad failed"
[ "$bad" -eq 0 ]
