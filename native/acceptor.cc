#include "acceptor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <array>
#include <cerrno>
#include <memory>

#include "listener.hpp"
#include "loop_clock.hpp"
#include "segment.hpp"
#include "uv_handle.hpp"

namespace ballermann {
namespace {

constexpr uint64_t kRetry = 1;      // ms until another look at whose turn it is
constexpr uint64_t kSlowRetry = 8;  // the same while this replica is to accept nothing
constexpr uint64_t kNoRoom = 50;    // the same when the system has no descriptor or memory left
constexpr int kBatch = 8;           // connections that are accepted in one turn of the loop
constexpr int kLast = 1024;         // the same in the last turn

// A replica that was blocked may be blocked again: for so long after it, in ns, it accepts one in a turn.
constexpr uint64_t kWary = 10'000'000'000;

int accept_from(int fd) {
#ifdef __linux__
  return accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
  const int accepted = accept(fd, nullptr, nullptr);
  if (accepted >= 0) {
    fcntl(accepted, F_SETFD, FD_CLOEXEC);
    fcntl(accepted, F_SETFL, fcntl(accepted, F_GETFL) | O_NONBLOCK);
  }
  return accepted;
#endif
}

// Errors that tell of one connection, which is gone then. The next one may be well.
bool is_of_one_connection(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
      return true;
    default:
      return false;
  }
}

bool has_waiting(int fd) {
  pollfd look = {fd, POLLIN, 0};
  return ::poll(&look, 1, 0) > 0;
}

// Polls while it may accept. While it may not, it does not poll, since a readable socket would wake it all
// the time: it looks in each turn of the event loop and now and then by a timer. Owns itself from open() on;
// freed when its handles are closed. What libuv calls is noexcept: nothing can be thrown through C.
class Polling {
 public:
  Polling(Napi::Env env, const Segment& segment, Listener& listener, uint32_t slot, Napi::Function take,
          Napi::Function has_room)
      : env_(env),
        gate_(segment, listener, slot),
        take_(Napi::Persistent(take)),
        has_room_(Napi::Persistent(has_room)),
        context_(env, "ballermann.Acceptor") {}

  // Begins to listen, on a duplicate of the socket.
  // @return 0, or the negative errno; nothing is open then.
  int open(int socket) {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env_, &loop) != napi_ok) return UV_EINVAL;
    fd_ = duplicate(socket);
    if (fd_ < 0) return fd_;
    if (const int error = uv_poll_init(loop, &poll_, fd_); error != 0) {
      ::close(fd_);
      return error;
    }
    // None of these can fail: what an async handle needs, Node's own have made.
    uv_check_init(loop, &check_);
    uv_timer_init(loop, &timer_);
    uv_async_init(loop, &anchor_, nullptr);
    for (uv_handle_t* handle : handles()) uv_handle_set_data(handle, this);
    for (uv_handle_t* handle : {as_handle(&poll_), as_handle(&check_), as_handle(&timer_)}) uv_unref(handle);
    napi_add_async_cleanup_hook(env_, at_teardown, this, &hook_);
    listens_since_ = uv_hrtime();
    take_turns(true);
    poll();
    return 0;
  }

  // The loop lives while the anchor is referenced, polling or not.
  void set_ref(bool ref) { ref ? uv_ref(as_handle(&anchor_)) : uv_unref(as_handle(&anchor_)); }
  bool has_ref() const { return uv_has_ref(reinterpret_cast<const uv_handle_t*>(&anchor_)) != 0; }

  // All that waits, whosever turn it is: where this is the last listener, nobody else comes for it.
  void take_waiting() {
    for (int left = kLast; left > 0 && has_room(); --left) {
      const int accepted = accept_from(fd_);
      if (accepted >= 0)
        hand_over(accepted);
      else if (!is_of_one_connection(errno))
        return;
    }
  }

  void close() {
    if (is_closed_) return;
    is_closed_ = true;
    take_turns(false);
    take_.Reset();
    has_room_.Reset();
    for (uv_handle_t* handle : handles()) uv_close(handle, closed);
    ::close(fd_);  // now, not when the handles are: the next moment may bring another listen on its port
  }

 private:
  static constexpr int kHandles = 4;

  std::array<uv_handle_t*, kHandles> handles() {
    return {as_handle(&poll_), as_handle(&check_), as_handle(&timer_), as_handle(&anchor_)};
  }

  static Polling& of(void* handle) {
    return *static_cast<Polling*>(uv_handle_get_data(static_cast<uv_handle_t*>(handle)));
  }

  static void at_teardown(napi_async_cleanup_hook_handle, void* data) {
    static_cast<Polling*>(data)->close();
  }

  static void closed(uv_handle_t* handle) noexcept {
    Polling& self = of(handle);
    if (--self.open_handles_ > 0) return;
    napi_remove_async_cleanup_hook(self.hook_);  // the environment waits for this
    delete &self;
  }

  void poll() {
    if (is_polling_) return;  // starting it again would cost two system calls
    is_polling_ = true;
    uv_check_stop(&check_);
    uv_timer_stop(&timer_);
    uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* handle, int, int) { of(handle).accept_some(); });
  }

  void stop_polling() {
    is_polling_ = false;
    uv_poll_stop(&poll_);
  }

  // Others wait only for those that take turns.
  void take_turns(bool takes) {
    if (takes == takes_turns_) return;
    takes_turns_ = takes;
    takes ? gate_.join() : gate_.leave();
  }

  // A server that has as many connections as it is to have takes no turns: the next one is for the others, or
  // waits for its next room.
  Verdict look() {
    if (takes_turns_) {
      const Verdict verdict = gate_.look(uv_hrtime());
      if (verdict == Verdict::kNotServing || has_room()) return verdict;
      take_turns(false);
    } else if (has_room()) {
      take_turns(true);
      return gate_.look(uv_hrtime());
    }
    return Verdict::kNotServing;
  }

  // True where JavaScript throws: the same will be thrown where the connection is taken. JavaScript may close
  // this, too.
  bool has_room() {
    Napi::HandleScope scope(env_);
    napi_value answer = nullptr;
    bool yes = true;
    if (napi_call_function(env_, env_.Global(), has_room_.Value(), 0, nullptr, &answer) == napi_ok)
      napi_get_value_bool(env_, answer, &yes);
    else
      napi_get_and_clear_last_exception(env_, &answer);
    return yes && !is_closed_;
  }

  // Does not poll until a turn of the loop finds that it may accept.
  void hold(Verdict verdict) {
    stop_polling();
    uv_check_start(&check_, [](uv_check_t* handle) { of(handle).look_again(false); });
    const uint64_t ms = verdict == Verdict::kAhead ? kRetry : kSlowRetry;
    uv_timer_start(
        &timer_, [](uv_timer_t* handle) { of(handle).look_again(true); }, ms, 0);
  }

  void look_again(bool by_timer) noexcept {
    const Verdict verdict = look();
    if (is_closed_) return;
    if (verdict == Verdict::kAccept) return accept_some();
    if (!by_timer) return;
    if (has_waiting(fd_)) return hold(verdict);
    gate_.nothing_waits();
    poll();  // the next connection wakes us
  }

  // Until there is none, or it is another replica's turn. After a batch the loop turns, so that what was
  // accepted is served before more is: a replica that then stands still holds few connections.
  void accept_some() noexcept {
    for (int left = batch(); left > 0; --left) {
      const Verdict verdict = look();
      if (is_closed_) return;
      if (verdict != Verdict::kAccept) return hold(verdict);
      const int accepted = accept_from(fd_);
      if (accepted >= 0) {
        gate_.accepted(uv_hrtime());
        hand_over(accepted);
        if (is_closed_) return;
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        gate_.nothing_waits();
        break;
      } else if (!is_of_one_connection(errno)) {
        return wait_for_room();
      }
    }
    poll();
  }

  // What it did before it listened does not count: to start takes long in many a server.
  int batch() const {
    const Turn blocked = last_blocked_turn();
    return blocked.begin > listens_since_ && uv_hrtime() - blocked.end < kWary ? 1 : kBatch;
  }

  // Out of descriptors or memory: the connections stay in the backlog, and others may take them meanwhile.
  void wait_for_room() {
    take_turns(false);
    stop_polling();
    uv_check_stop(&check_);
    uv_timer_start(
        &timer_, [](uv_timer_t* handle) { of(handle).accept_some(); }, kNoRoom, 0);
  }

  // As a callback of its own: its microtasks run after it, and what it throws is an uncaught exception which
  // does not keep the next connection from being accepted.
  void hand_over(int accepted) {
    Napi::HandleScope scope(env_);
    napi_value fd = nullptr;
    napi_value taken = nullptr;
    napi_create_int32(env_, accepted, &fd);
    const napi_status status =
        napi_make_callback(env_, context_, env_.Global(), take_.Value(), 1, &fd, &taken);
    if (status == napi_ok) {
      bool is_taken = false;
      if (napi_get_value_bool(env_, taken, &is_taken) == napi_ok && !is_taken) ::close(accepted);
      return;
    }
    napi_value thrown = nullptr;
    if (status == napi_pending_exception && napi_get_and_clear_last_exception(env_, &thrown) == napi_ok)
      napi_fatal_exception(env_, thrown);
    else
      ::close(accepted);  // no JavaScript runs here any more
  }

  Napi::Env env_;
  int fd_ = -1;  // our own duplicate
  Gate gate_;
  Napi::FunctionReference take_;
  Napi::FunctionReference has_room_;
  Napi::AsyncContext context_;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  uv_poll_t poll_;
  uv_check_t check_;
  uv_timer_t timer_;
  uv_async_t anchor_;
  int open_handles_ = kHandles;
  uint64_t listens_since_ = 0;
  bool takes_turns_ = false;
  bool is_polling_ = false;
  bool is_closed_ = false;
};

// The object that JavaScript has. It listens between start and close; all else does nothing then.
class Acceptor : public Napi::ObjectWrap<Acceptor> {
 public:
  // new Acceptor(fd, listener, take, hasRoom)
  explicit Acceptor(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<Acceptor>(info), socket_(info[0].As<Napi::Number>().Int32Value()) {
    const Napi::Env env = info.Env();
    const uint32_t listener = info[1].As<Napi::Number>().Uint32Value();
    if (mapping().base == nullptr) throw Napi::Error::New(env, "this process has no segment");
    if (listener >= kListenerCount) throw Napi::RangeError::New(env, "no such listener");
    unopened_ =
        std::make_unique<Polling>(env, *mapping().base, mapping().base->listeners[listener], mapping().slot,
                                  info[2].As<Napi::Function>(), info[3].As<Napi::Function>());
  }

  // start(): 0, or the negative errno. Another try may go better then.
  Napi::Value Start(const Napi::CallbackInfo& info) {
    const int error = unopened_ == nullptr ? 0 : unopened_->open(socket_);
    if (unopened_ != nullptr && error == 0) polling_ = unopened_.release();
    return Napi::Number::New(info.Env(), error);
  }

  void TakeWaiting(const Napi::CallbackInfo&) {
    if (polling_ != nullptr) polling_->take_waiting();
  }

  void Close(const Napi::CallbackInfo&) {
    unopened_.reset();
    if (polling_ != nullptr) polling_->close();
    polling_ = nullptr;
  }

  void Ref(const Napi::CallbackInfo&) {
    if (polling_ != nullptr) polling_->set_ref(true);
  }

  void Unref(const Napi::CallbackInfo&) {
    if (polling_ != nullptr) polling_->set_ref(false);
  }

  Napi::Value HasRef(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), polling_ != nullptr && polling_->has_ref());
  }

 private:
  const int socket_;
  std::unique_ptr<Polling> unopened_;  // before start
  Polling* polling_ = nullptr;         // from then on
};

}  // namespace

void define_acceptor(Napi::Env env, Napi::Object exports) {
  exports.Set("Acceptor",
              Acceptor::DefineClass(env, "Acceptor",
                                    {
                                        Acceptor::InstanceMethod<&Acceptor::Start>("start"),
                                        Acceptor::InstanceMethod<&Acceptor::TakeWaiting>("takeWaiting"),
                                        Acceptor::InstanceMethod<&Acceptor::Close>("close"),
                                        Acceptor::InstanceMethod<&Acceptor::Ref>("ref"),
                                        Acceptor::InstanceMethod<&Acceptor::Unref>("unref"),
                                        Acceptor::InstanceMethod<&Acceptor::HasRef>("hasRef"),
                                    }));
}

int listen_on(int fd, int backlog) { return listen(fd, backlog) == 0 ? 0 : -errno; }

int duplicate(int fd) {
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return copy >= 0 ? copy : -errno;
}

bool has_peer_closed(int fd) {
#ifdef POLLRDHUP
  pollfd look = {fd, POLLRDHUP, 0};
  return poll(&look, 1, 0) > 0;
#else
  char byte;
  return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
#endif
}

}  // namespace ballermann
