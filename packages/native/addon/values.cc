#include "values.h"

#include <cerrno>
#include <climits>
#include <cmath>

namespace usrdrv {

namespace {

constexpr double kMaxSafeInteger = 9007199254740991.0;

}  // namespace

bool ToInteger(napi_env env, napi_value value, int64_t* out) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) return false;
  // Written so that NaN fails too.
  if (!(std::fabs(number) <= kMaxSafeInteger)) return false;
  auto integer = static_cast<int64_t>(number);
  if (static_cast<double>(integer) != number) return false;
  *out = integer;
  return true;
}

bool ToInt(napi_env env, napi_value value, int* out) {
  int64_t integer;
  if (!ToInteger(env, value, &integer) || integer < INT_MIN || integer > INT_MAX) return false;
  *out = static_cast<int>(integer);
  return true;
}

bool ToUint64(napi_env env, napi_value value, uint64_t* out) {
  uint64_t bits;
  bool lossless;
  if (napi_get_value_bigint_uint64(env, value, &bits, &lossless) != napi_ok || !lossless) return false;
  *out = bits;
  return true;
}

Napi::Value Result(napi_env env, int64_t result) {
  return Napi::Number::New(env, static_cast<double>(result));
}

Napi::Value Started(napi_env env, uint64_t call, int64_t started) {
  if (started < 0) return Result(env, started);
  return Napi::BigInt::New(env, call);
}

int64_t ResultOf(int64_t returned) {
  return returned == -1 ? -static_cast<int64_t>(errno) : returned;
}

}  // namespace usrdrv
