#pragma once

#include <napi.h>

namespace usrdrv {

class Instance;

/**
 * What JavaScript is given: one function for each call, each with its thread's state as data. A call that may sleep returns
 * a number, its result, where it did not have to; else a bigint that names it for `interrupt`, and passes the result to its
 * last argument, a function, later.
 */
class Exports {
 public:
  Exports(Napi::Object object, Instance* instance) : object_(object), instance_(instance) {}

  template <Napi::Value (*call)(const Napi::CallbackInfo&)>
  void Add(const char* name) {
    object_.Set(name, Napi::Function::New<call>(object_.Env(), name, instance_));
  }

  /** The same without node-addon-api's wrapping, which is more than a register access takes. */
  void AddBare(const char* name, napi_callback call) {
    napi_value function;
    napi_create_function(object_.Env(), name, NAPI_AUTO_LENGTH, call, instance_, &function);
    object_.Set(name, function);
  }

 private:
  Napi::Object object_;
  Instance* instance_;
};

void DefineDescriptorCalls(Exports* exports);
void DefineMemoryCalls(Exports* exports);
void DefineMmioCalls(Exports* exports);
void DefineReadWriteCalls(Exports* exports);
void DefineRealtimeCalls(Exports* exports);
void DefineUsrPciCalls(Exports* exports);
void DefineVfioCalls(Exports* exports);
void DefineWaitingCalls(Exports* exports);

}  // namespace usrdrv
