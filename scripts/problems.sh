#!/usr/bin/env bash
# The problems of the README's comparison with SPORCO that are made from the Kodak photographs:
#
#     scripts/problems.sh PHOTOS OUT
#
# PHOTOS holds kodim05, 08, 19 and 23.png of the Kodak test suite, https://r0k.us/graphics/kodak.
# Names tell images, size, filters and where these are from: r random, n SPORCO's natural ones.
# Those for learning begin with learn-, the two for learning online with online-.
set -euo pipefail
photos=${1:?scripts/problems.sh PHOTOS OUT} out=${2:?scripts/problems.sh PHOTOS OUT}
here=$(dirname "$0")
mkdir -p "$out"

# make NAME PHOTO[,PHOTO...] OPTIONS OF rivals.py make
make() {
  local name=$1 images=()
  for number in ${2//,/ }; do images+=("$photos/kodim$number.png"); done
  shift 2
  "${PYTHON:-python3}" "$here/rivals.py" make "${images[@]}" --out "$out/$name.npz" "$@"
}

make grey-128-32x8-n            23          --size 128 --corners 300 --dictionary G:8x8x32
make grey-128-64x11-r           08          --size 128 --corners 100 --filters 64 --taps 11
make grey-256-96x8-n            19          --size 256 --corners 100 --dictionary G:8x8x96 --lmbda 0.02
make grey-512-32x8-r            05          --size 512 --filters 32 --taps 8 --lmbda 0.1
make grey-160-216x12-n          08          --size 160 --corners 200 --dictionary G:12x12x216 --lmbda 0.03
make grey-12x100-48x9-r         05,08,19,23 --size 100 --corners 100,250,400 --filters 48 --taps 9
make grey-200-12x12-r           08          --size 200 --corners 150 --filters 12 --taps 12 --lmbda 0.02
make grey-4x64-20x5-r           05,08,19,23 --size 64 --corners 220 --filters 20 --taps 5 --lmbda 0.01
make grey-128-16x20-r           05          --size 128 --corners 200 --filters 16 --taps 20
make colour-128-64x8-n          23          --size 128 --corners 200 --colour --dictionary RGB:8x8x3x64
make colour-192-24x5-r          19          --size 192 --corners 200 --colour --filters 24 --taps 5
make colour-2x100-16x7-r        05,23       --size 100 --corners 300 --colour --filters 16 --taps 7 --lmbda 0.01
make colour-4x96-8x9-r          05,08,19,23 --size 96 --corners 200 --colour --filters 8 --taps 9 --lmbda 0.01
make colour-8x32-16x5-r         05,08,19,23 --size 32 --corners 120,260 --colour --filters 16 --taps 5
make grey-64-8x16-r             08          --size 64 --corners 120 --filters 8 --taps 16
make grey-256-8x31-r            19          --size 256 --corners 50 --filters 8 --taps 31
make grey-96-4x9-r              05          --size 96 --corners 90 --filters 4 --taps 9 --lmbda 0.02

make learn-grey-12x64-16x12     05,08,19,23 --size 64 --corners 100,220,340 --filters 16 --taps 12 --lmbda 0.1
make learn-grey-4x100-64x5      05,08,19,23 --size 100 --corners 150 --filters 64 --taps 5 --lmbda 0.03
make learn-grey-4x128-48x9      05,08,19,23 --size 128 --corners 200 --filters 48 --taps 9
make learn-colour-4x96-24x7     05,08,19,23 --size 96 --corners 300 --colour --filters 24 --taps 7

corners=0,30,60,90,120,150,180,210,240,270,300,330,360,390,420
make online-grey-60x64-32x8     05,08,19,23 --size 64 --corners "$corners" --filters 32 --taps 8
make online-test-8x64           05,08,19,23 --size 64 --corners 435,448 --filters 32 --taps 8
