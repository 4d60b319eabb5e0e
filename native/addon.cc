// Bindings only (acceptor, channel and values have their own): checks what comes from JS, calls ring.hpp and
// segment.cc, and keeps one tally a thread.
#include <napi.h>
#pragma push_macro("NAPI_VERSION")
#undef NAPI_VERSION  // node_version.h of Node 20 has one of its own
#include <node_version.h>
#pragma pop_macro("NAPI_VERSION")

#include <cstring>
#include <string>
#include <vector>

#include "acceptor.hpp"
#include "channels.hpp"
#include "hang_report.hpp"
#include "local_socket.hpp"
#include "loop_clock.hpp"
#include "notify.hpp"
#include "process.hpp"
#include "ring.hpp"
#include "segment.hpp"
#include "signals.hpp"
#include "values.hpp"

namespace ballermann {
namespace {

// The transactions that this thread has running. A thread that ends in the middle of one gives its count
// back.
struct Tally {
  uint32_t running[kPoolCount] = {};

  ~Tally() {
    if (mapping().base == nullptr) return;
    for (uint32_t pool = 0; pool < kPoolCount; ++pool) {
      mapping().base->slots[mapping().slot].running[pool].fetch_sub(running[pool], std::memory_order_seq_cst);
    }
  }
};

Segment& segment(Napi::Env env) {
  if (mapping().base == nullptr) throw Napi::Error::New(env, "this process has no segment");
  return *mapping().base;
}

uint32_t index_arg(const Napi::CallbackInfo& info) {
  const uint32_t index = info[0].As<Napi::Number>().Uint32Value();
  if (index >= kPoolCount) throw Napi::RangeError::New(info.Env(), "no such ring: " + std::to_string(index));
  return index;
}

Ring& ring_arg(const Napi::CallbackInfo& info) { return segment(info.Env()).rings[index_arg(info)]; }

std::atomic<uint32_t>& running_of_this_process(Napi::Env env, uint32_t pool) {
  return segment(env).slots[mapping().slot].running[pool];
}

Name name_arg(const Napi::CallbackInfo& info) {
  const std::string text = info[0].As<Napi::String>().Utf8Value();
  if (text.size() > kNameBytes) throw Napi::RangeError::New(info.Env(), "the name is too long");
  Name name{text.size(), {}};
  std::memcpy(name.words, text.data(), text.size());
  return name;
}

Napi::Value index_or_undefined(Napi::Env env, uint32_t index, uint32_t count) {
  return index < count ? Napi::Number::New(env, index) : env.Undefined();
}

Napi::Value CreateSegment(const Napi::CallbackInfo& info) {
  create_segment(info.Env());
  return Napi::Number::New(info.Env(), mapping().fd);
}

void AttachSegment(const Napi::CallbackInfo& info) {
  attach_segment(info.Env(), info[0].As<Napi::Number>().Int32Value(),
                 info[1].As<Napi::Number>().Uint32Value());
}

Napi::Value TakeSlot(const Napi::CallbackInfo& info) {
  return index_or_undefined(info.Env(), take_slot(), kSlotCount);
}

void GiveSlotBack(const Napi::CallbackInfo& info) {
  give_slot_back(info[0].As<Napi::Number>().Uint32Value());
}

Napi::Value TakeListener(const Napi::CallbackInfo& info) {
  return index_or_undefined(info.Env(), take_listener(), kListenerCount);
}

void GiveListenerBack(const Napi::CallbackInfo& info) {
  give_listener_back(info[0].As<Napi::Number>().Uint32Value());
}

Napi::Value SharedMemory(const Napi::CallbackInfo& info) { return shared_array_buffer(info.Env()); }

Napi::Value OpenRing(const Napi::CallbackInfo& info) {
  const uint32_t max_queue = info[1].As<Napi::Number>().Uint32Value();
  const bool least_queue = info[2].As<Napi::Boolean>().Value();
  return index_or_undefined(
      info.Env(), open_ring(segment(info.Env()), name_arg(info), max_queue, least_queue), kPoolCount);
}

Napi::Value FindRing(const Napi::CallbackInfo& info) {
  return index_or_undefined(info.Env(), find_ring(segment(info.Env()), name_arg(info)), kPoolCount);
}

void CloseRing(const Napi::CallbackInfo& info) { close_ring(ring_arg(info)); }

// publish(ring, Uint32Array of pid, slot, pid, slot, ...) -> [last ticket, first ticket]
Napi::Value Publish(const Napi::CallbackInfo& info) {
  Ring& ring = ring_arg(info);
  const auto pairs = info[1].As<Napi::Uint32Array>();
  const size_t count = pairs.ElementLength() / 2;
  if (count > kMaxReplicas) throw Napi::RangeError::New(info.Env(), "too many replicas for one ring");
  std::vector<uint64_t> entries(count);
  for (size_t i = 0; i < count; ++i) entries[i] = uint64_t{pairs[2 * i + 1]} << 32 | pairs[2 * i];
  const auto [last, first] = publish(ring, entries.data(), static_cast<uint32_t>(count));
  Napi::Array tickets = Napi::Array::New(info.Env(), 2);
  tickets.Set(uint32_t{0}, Napi::Number::New(info.Env(), last));
  tickets.Set(uint32_t{1}, Napi::Number::New(info.Env(), first));
  return tickets;
}

// claim(ring, wanted, rotation: Int32Array) -> Claimed
Napi::Value ClaimTickets(const Napi::CallbackInfo& info) {
  Ring& ring = ring_arg(info);
  auto rotation = info[2].As<Napi::Int32Array>();
  if (rotation.ByteLength() != sizeof(Rotation)) {
    throw Napi::RangeError::New(info.Env(), "a rotation has another size");
  }
  Rotation& own = *reinterpret_cast<Rotation*>(rotation.Data());
  const Claimed claimed = claim(ring, info[1].As<Napi::Number>().Uint32Value(), own);
  return Napi::Number::New(info.Env(), static_cast<uint32_t>(claimed));
}

Napi::Value Ticket(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), ticket_of(ring_arg(info).word.load(std::memory_order_relaxed)));
}

Napi::Value Join(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), ring_arg(info).callers.fetch_add(1, std::memory_order_relaxed));
}

void Pause(const Napi::CallbackInfo& info) { pause(ring_arg(info)); }

void Resume(const Napi::CallbackInfo& info) { resume(ring_arg(info)); }

Napi::Value Enter(const Napi::CallbackInfo& info) {
  const uint32_t index = index_arg(info);
  const bool entered = enter(ring_arg(info), running_of_this_process(info.Env(), index));
  if (entered) info.Env().GetInstanceData<Tally>()->running[index]++;
  return Napi::Boolean::New(info.Env(), entered);
}

void Leave(const Napi::CallbackInfo& info) {
  const uint32_t index = index_arg(info);
  uint32_t& own = info.Env().GetInstanceData<Tally>()->running[index];
  if (own == 0) throw Napi::Error::New(info.Env(), "leave without enter");
  own--;
  leave(running_of_this_process(info.Env(), index));
}

Napi::Value RunningIn(const Napi::CallbackInfo& info) {
  const uint32_t index = index_arg(info);
  return Napi::Number::New(info.Env(), static_cast<double>(running_in(segment(info.Env()), index)));
}

Napi::Value MakeLifeline(const Napi::CallbackInfo& info) {
  const Lifeline made = make_lifeline(info.Env());
  Napi::Object ends = Napi::Object::New(info.Env());
  ends.Set("read", Napi::Number::New(info.Env(), made.read));
  ends.Set("write", Napi::Number::New(info.Env(), made.write));
  return ends;
}

void DieWithLifeline(const Napi::CallbackInfo& info) {
  die_with_lifeline(info.Env(), info[0].As<Napi::Number>().Int32Value());
}

void LeaveGoneTerminal(const Napi::CallbackInfo&) { leave_gone_terminal(); }

Napi::Value Reap(const Napi::CallbackInfo& info) {
  const int pid = info[0].As<Napi::Number>().Int32Value();
  return Napi::Boolean::New(info.Env(), pid > 0 && reap(pid));  // 0 and below would mean any child
}

void StartLoopClock(const Napi::CallbackInfo& info) {
  start_loop_clock(info.Env(), segment(info.Env()).slots[mapping().slot]);
}

void ReportOnSignal(const Napi::CallbackInfo& info) {
  report_on_signal(info.Env(), info[0].As<Napi::String>().Utf8Value());
}

void OnSignal(const Napi::CallbackInfo& info) {
  on_signal(info.Env(), info[0].As<Napi::Number>().Int32Value(), info[1].As<Napi::Function>());
}

Napi::Value Listen(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), listen_on(info[0].As<Napi::Number>().Int32Value(),
                                                 info[1].As<Napi::Number>().Int32Value()));
}

Napi::Value Duplicate(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), duplicate(info[0].As<Napi::Number>().Int32Value()));
}

Napi::Value Notify(const Napi::CallbackInfo& info) {
  return Napi::Number::New(
      info.Env(), notify(info[0].As<Napi::String>().Utf8Value(), info[1].As<Napi::String>().Utf8Value()));
}

Napi::Value HasPeerClosed(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), has_peer_closed(info[0].As<Napi::Number>().Int32Value()));
}

Napi::Value LockFile(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), lock_file(info.Env(), info[0].As<Napi::Number>().Int32Value()));
}

Napi::Value PeerUser(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), peer_user(info.Env(), info[0].As<Napi::Number>().Int32Value()));
}

Napi::Object layout_object(Napi::Env env) {
  const std::pair<const char*, size_t> numbers[] = {
      {"version", kLayoutVersion},
      {"maxReplicas", kMaxReplicas},
      {"slotCount", kSlotCount},
      {"poolCount", kPoolCount},
      {"nameBytes", kNameBytes},
      {"segmentBytes", sizeof(Segment)},
      {"slots", offsetof(Segment, slots)},
      {"slotBytes", sizeof(Slot)},
      {"slotPid", offsetof(Slot, pid)},
      {"slotIncarnation", offsetof(Slot, incarnation)},
      {"slotUnfinished", offsetof(Slot, unfinished)},
      {"slotTaken", offsetof(Slot, taken)},
      {"slotState", offsetof(Slot, state)},
      {"slotWindows", offsetof(Slot, windows)},
      {"slotBlockedAfter", offsetof(Slot, blocked_after)},
      {"slotMaxQueue", offsetof(Slot, max_queue)},
      {"slotRequests", offsetof(Slot, requests)},
      {"slotBegun", offsetof(Slot, begun)},
      {"slotRss", offsetof(Slot, rss)},
      {"slotLoopClock", offsetof(Slot, loop_clock)},
      {"slotLoopIdle", offsetof(Slot, loop_idle)},
      {"slotAccepted", offsetof(Slot, accepted)},
      {"slotRunning", offsetof(Slot, running)},
      {"rings", offsetof(Segment, rings)},
      {"listeners", offsetof(Segment, listeners)},
      {"listenerCount", kListenerCount},
      {"listenerBytes", sizeof(Listener)},
      {"listenerAccepted", offsetof(Listener, accepted)},
      {"ringBytes", sizeof(Ring)},
      {"ringWord", offsetof(Ring, word)},
      {"ringWrapped", offsetof(Ring, wrapped)},
      {"ringEpoch", offsetof(Ring, epoch)},
      {"ringCallers", offsetof(Ring, callers)},
      {"ringMaxQueue", offsetof(Ring, max_queue)},
      {"ringLeastQueue", offsetof(Ring, least_queue)},
      {"rotationBytes", sizeof(Rotation)},
      {"rotationKey", offsetof(Rotation, key)},
      {"rotationCount", offsetof(Rotation, count)},
      {"rotationFirst", offsetof(Rotation, first)},
      {"rotationLeft", offsetof(Rotation, left)},
      {"rotationPids", offsetof(Rotation, pids)},
      {"rotationSlots", offsetof(Rotation, slots)},
      {"noKey", kNoKey},
  };
  Napi::Object layout = Napi::Object::New(env);
  for (const auto& [name, number] : numbers)
    layout.Set(name, Napi::Number::New(env, static_cast<double>(number)));
  return layout;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Tally);
  exports.Set("abi", Napi::String::New(env, std::to_string(NODE_MODULE_VERSION)));
  exports.Set("layout", layout_object(env));
  exports.Set("createSegment", Napi::Function::New<CreateSegment>(env, "createSegment"));
  exports.Set("attachSegment", Napi::Function::New<AttachSegment>(env, "attachSegment"));
  exports.Set("takeSlot", Napi::Function::New<TakeSlot>(env, "takeSlot"));
  exports.Set("giveSlotBack", Napi::Function::New<GiveSlotBack>(env, "giveSlotBack"));
  exports.Set("takeListener", Napi::Function::New<TakeListener>(env, "takeListener"));
  exports.Set("giveListenerBack", Napi::Function::New<GiveListenerBack>(env, "giveListenerBack"));
  exports.Set("sharedMemory", Napi::Function::New<SharedMemory>(env, "sharedMemory"));
  exports.Set("openRing", Napi::Function::New<OpenRing>(env, "openRing"));
  exports.Set("findRing", Napi::Function::New<FindRing>(env, "findRing"));
  exports.Set("closeRing", Napi::Function::New<CloseRing>(env, "closeRing"));
  exports.Set("publish", Napi::Function::New<Publish>(env, "publish"));
  exports.Set("claim", Napi::Function::New<ClaimTickets>(env, "claim"));
  exports.Set("ticket", Napi::Function::New<Ticket>(env, "ticket"));
  exports.Set("join", Napi::Function::New<Join>(env, "join"));
  exports.Set("pause", Napi::Function::New<Pause>(env, "pause"));
  exports.Set("resume", Napi::Function::New<Resume>(env, "resume"));
  exports.Set("enter", Napi::Function::New<Enter>(env, "enter"));
  exports.Set("leave", Napi::Function::New<Leave>(env, "leave"));
  exports.Set("runningIn", Napi::Function::New<RunningIn>(env, "runningIn"));
  exports.Set("makeLifeline", Napi::Function::New<MakeLifeline>(env, "makeLifeline"));
  exports.Set("dieWithLifeline", Napi::Function::New<DieWithLifeline>(env, "dieWithLifeline"));
  exports.Set("leaveGoneTerminal", Napi::Function::New<LeaveGoneTerminal>(env, "leaveGoneTerminal"));
  exports.Set("reap", Napi::Function::New<Reap>(env, "reap"));
  exports.Set("startLoopClock", Napi::Function::New<StartLoopClock>(env, "startLoopClock"));
  exports.Set("reportOnSignal", Napi::Function::New<ReportOnSignal>(env, "reportOnSignal"));
  exports.Set("onSignal", Napi::Function::New<OnSignal>(env, "onSignal"));
  exports.Set("listen", Napi::Function::New<Listen>(env, "listen"));
  exports.Set("duplicate", Napi::Function::New<Duplicate>(env, "duplicate"));
  exports.Set("notify", Napi::Function::New<Notify>(env, "notify"));
  exports.Set("hasPeerClosed", Napi::Function::New<HasPeerClosed>(env, "hasPeerClosed"));
  exports.Set("lockFile", Napi::Function::New<LockFile>(env, "lockFile"));
  exports.Set("peerUser", Napi::Function::New<PeerUser>(env, "peerUser"));
  define_acceptor(env, exports);
  define_channels(env, exports);
  define_values(env, exports);
  return exports;
}

}  // namespace
}  // namespace ballermann

static Napi::Object InitBallermann(Napi::Env env, Napi::Object exports) {
  return ballermann::Init(env, exports);
}
NODE_API_MODULE(ballermann, InitBallermann)
