#include "hang_report.hpp"

#include <fcntl.h>
#include <node.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <system_error>

namespace ballermann {
namespace {

constexpr int kFrames = 50;
constexpr const char* kMessage = "the event loop does not turn";

// A signal handler may not ask V8 for an interrupt, and the main thread is busy: so the handler writes a
// byte, and a thread that waits for it asks.
struct Reporter {
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  std::string path;
  int ends[2] = {-1, -1};  // of the pipe: reads, writes
  uv_thread_t thread;

  ~Reporter() {
    for (const int end : ends)
      if (end >= 0) close(end);
  }
};

constexpr char kReport = 'r';
constexpr char kEnd = 'e';

volatile std::sig_atomic_t pipe_end = -1;  // where the handler writes

void on_signal(int) {
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(pipe_end, &kReport, 1);
  errno = error;
}

// What the running JavaScript would say of itself if it threw. Runs none: this is in the middle of some.
std::string stack_of(v8::Isolate* isolate) {
  std::string text = std::string("Error: ") + kMessage;
  const auto string = [isolate](v8::Local<v8::String> value) {
    const v8::String::Utf8Value utf8(isolate, value);
    return std::string(*utf8 == nullptr ? "" : *utf8);
  };
  const v8::Local<v8::StackTrace> stack = v8::StackTrace::CurrentStackTrace(isolate, kFrames);
  for (int i = 0; i < stack->GetFrameCount(); ++i) {
    const v8::Local<v8::StackFrame> frame = stack->GetFrame(isolate, static_cast<uint32_t>(i));
    const std::string name = string(frame->GetFunctionName());
    text += "\n    at " + (name.empty() ? "<anonymous>" : name) + " (" + string(frame->GetScriptName()) +
            ":" + std::to_string(frame->GetLineNumber()) + ":" + std::to_string(frame->GetColumn()) + ")";
  }
  return text;
}

v8::Local<v8::String> text(v8::Isolate* isolate, const std::string& value) {
  return v8::String::NewFromUtf8(isolate, value.data(), v8::NewStringType::kNormal,
                                 static_cast<int>(value.size()))
      .FromMaybe(v8::String::Empty(isolate));
}

// On the main thread, between two steps of its JavaScript.
void write_report(v8::Isolate* isolate, void* data) noexcept {
  const Reporter& reporter = *static_cast<Reporter*>(data);
  const v8::HandleScope scope(isolate);
  const v8::Local<v8::Context> context = isolate->GetCurrentContext();
  const v8::Local<v8::Object> error = v8::Object::New(isolate);
  if (error->Set(context, text(isolate, "stack"), text(isolate, stack_of(isolate))).IsNothing()) return;
  const std::string part = reporter.path + ".part";
  {
    std::ofstream out(part);
    node::GetNodeReport(isolate, kMessage, "Hang", error, out);
    if (!out.flush()) return;
  }
  std::rename(part.c_str(), reporter.path.c_str());
}

void wait_for_signals(void* data) {
  Reporter* reporter = static_cast<Reporter*>(data);
  for (char byte = 0;;) {
    const ssize_t count = read(reporter->ends[0], &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count != 1 || byte == kEnd) return;
    reporter->isolate->RequestInterrupt(write_report, reporter);
  }
}

void check(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
}

// As the environment is torn down. An interrupt that was asked for and not served is served no more: no
// JavaScript runs after this.
void stop(void* data) {
  Reporter* reporter = static_cast<Reporter*>(data);
  std::signal(SIGURG, SIG_IGN);
  pipe_end = -1;
  [[maybe_unused]] const ssize_t written = write(reporter->ends[1], &kEnd, 1);
  uv_thread_join(&reporter->thread);
  delete reporter;
}

}  // namespace

void report_on_signal(Napi::Env env, const std::string& path) {
  auto reporter = std::make_unique<Reporter>();
  reporter->path = path;
  check(pipe(reporter->ends), "pipe");
  for (const int end : reporter->ends) check(fcntl(end, F_SETFD, FD_CLOEXEC), "fcntl(FD_CLOEXEC)");
  // A flood of signals must not stop the handler.
  check(fcntl(reporter->ends[1], F_SETFL, O_NONBLOCK), "fcntl(O_NONBLOCK)");
  const int error = uv_thread_create(&reporter->thread, wait_for_signals, reporter.get());
  if (error != 0) throw std::system_error(-error, std::generic_category(), "a thread for hang reports");
  pipe_end = reporter->ends[1];
  napi_add_env_cleanup_hook(env, stop, reporter.get());
  reporter.release();  // stop() has it now
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  check(sigaction(SIGURG, &action, nullptr), "sigaction");
}

}  // namespace ballermann
