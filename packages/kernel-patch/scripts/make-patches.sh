#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# make-patches.sh TREE: writes the patch series anew.
#
# TREE is a git repository with the series on top of the tag `base`; where there
# is none it is made, with the files that the series touches. The shared files of
# ../module are copied over. Each file that then differs, by that or by an edit
# in TREE, goes into the last patch that touched it.
set -eu
: "${1:?the tree}"
mkdir -p "$1"
tree=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
package=$PWD
source=linux-source-6.1

git() {
	command git -C "$tree" -c user.name='usrdrv maintainers' \
		-c user.email=maintainers@usrdrv.invalid -c core.abbrev=9 "$@"
}

if [ ! -e "$tree/.git" ]; then
	sed -n 's|^--- a/|'$source'/|p' patches/linux-6.1/*.patch | sort -u |
		tar -C "$tree" -xf "/usr/src/$source.tar.xz" \
			--strip-components 1 --ignore-failed-read -T -
	git init -q
	git add -f .
	git commit -q -m base
	git tag base
	git am -q "$package"/patches/linux-6.1/*.patch
fi

while read -r ours theirs; do
	cp "module/$ours" "$tree/$theirs"
done <scripts/shared-files

for file in $(git diff --name-only); do
	git commit -q --fixup "$(git log -n 1 --format=%H base.. -- "$file")" -- "$file"
done
GIT_SEQUENCE_EDITOR=: git rebase -q -i --autosquash base

rm patches/linux-6.1/*.patch
git format-patch -q --no-signature --zero-commit -n -o "$package/patches/linux-6.1" base
