#include "turns.hpp"

#include <algorithm>

#include "uv_handle.hpp"

namespace ballermann {
namespace {

// ns for which one turn of the event loop takes messages: then sockets and timers have theirs.
constexpr uint64_t kTurn = 2'000'000;

// ms without use after which memory is given back.
constexpr uint64_t kTidyAfter = 1'000;

// ns for which a caller with one message in flight looks for its answer before it sleeps.
constexpr uint64_t kLinger = 50'000;

// Looks between two looks at the clock.
constexpr int kLooks = 16;

}  // namespace

thread_local Turns* Turns::own_ = nullptr;

void Turns::wrote(TurnTaker* taker, bool is_untidy) {
  ++written_;
  if (!is_untidy) return;
  untidy_.push_back(taker);
  if (!uv_is_active(as_handle(&tidy_))) tidy_later();
}

void Turns::catch_up() {
  if (own_ == nullptr) return;
  found_now();
  for (TurnTaker* taker : own_->awake_)
    if (taker != nullptr) taker->catch_up();
}

void Turns::found_now() {
  if (own_ != nullptr) own_->look_at_clock();
}

uint64_t Turns::look_at_clock() noexcept {
  const uint64_t now = uv_hrtime();
  *found_at_ = static_cast<double>(now) / 1e6;
  return now;
}

void Turns::drop(TurnTaker* taker) {
  if (own_ == nullptr) return;
  std::replace(own_->awake_.begin(), own_->awake_.end(), taker, static_cast<TurnTaker*>(nullptr));
  own_->untidy_.remove(taker);
}

Turns::Turns(Napi::Env env) {
  if (napi_get_uv_event_loop(env, &loop_) != napi_ok) throw Napi::Error::New(env, "no event loop");
  const Napi::ArrayBuffer memory = Napi::ArrayBuffer::New(env, sizeof(double));
  found_at_ = static_cast<double*>(Napi::ArrayBuffer(memory).Data());
  clock_ = Napi::Persistent(Napi::Float64Array::New(env, 1, memory, 0));
  clock_.SuppressDestruct();  // it lasts as long as the environment
  uv_prepare_init(loop_, &prepare_);
  uv_check_init(loop_, &check_);
  uv_idle_init(loop_, &idle_);
  uv_timer_init(loop_, &tidy_);
  for (uv_handle_t* handle : handles()) {
    uv_handle_set_data(handle, this);
    uv_unref(handle);
  }
  uv_prepare_start(&prepare_, [](uv_prepare_t* handle) { of_handle(handle).before_poll(); });
  uv_check_start(&check_, [](uv_check_t* handle) { of_handle(handle).after_poll(); });
  napi_add_async_cleanup_hook(env, at_teardown, this, &hook_);
}

std::array<uv_handle_t*, Turns::kHandles> Turns::handles() {
  return {as_handle(&prepare_), as_handle(&check_), as_handle(&idle_), as_handle(&tidy_)};
}

void Turns::at_teardown(napi_async_cleanup_hook_handle, void* data) {
  Turns& self = *static_cast<Turns*>(data);
  own_ = nullptr;
  for (uv_handle_t* handle : self.handles()) uv_close(handle, closed);
}

void Turns::closed(uv_handle_t* handle) {
  Turns& self = of_handle(handle);
  if (--self.open_handles_ > 0) return;
  napi_remove_async_cleanup_hook(self.hook_);  // the environment waits for this
  delete &self;
}

bool Turns::has_come() noexcept {
  return std::any_of(awake_.begin(), awake_.end(),
                     [](TurnTaker* taker) { return taker != nullptr && taker->has_come(); });
}

// One call after another: the answer is mostly there sooner than this thread could sleep and wake.
// @return whether something has come.
bool Turns::lingers() noexcept {
  const bool waits_for_one = taken_ == 1 && written_ == 1;
  taken_ = written_ = 0;
  if (!expects_answers_ || !waits_for_one || !lingering_.pays()) return false;
  const uint64_t end = uv_hrtime() + kLinger;
  bool has_news = false;
  do {
    for (int look = 0; look < kLooks && !has_news; look++) {
      relax();
      has_news = has_come();
    }
  } while (!has_news && uv_hrtime() < end);
  lingering_.ended(has_news);
  return has_news;
}

// A caller that lingers takes its answers here, without a poll in between. A replica runs no JavaScript here:
// its loop clock counts this as a part of the poll.
void Turns::before_poll() noexcept {
  if (lingers()) {
    const uint64_t end = uv_hrtime() + kTurn;
    do take(end);
    while (lingers() && uv_hrtime() < end);
  }
  bool all_sleep = true;
  for (TurnTaker* taker : awake_)
    if (taker != nullptr && !taker->sleep()) all_sleep = false;
  if (all_sleep)
    uv_idle_stop(&idle_);
  else
    uv_idle_start(&idle_, [](uv_idle_t*) {});
}

void Turns::after_poll() noexcept {
  std::erase_if(awake_, [](TurnTaker* taker) { return taker == nullptr || !taker->wake(); });
  if (!awake_.empty()) take(uv_hrtime() + kTurn);
}

// By turns, so that none waits for all those of another.
void Turns::take(uint64_t end) noexcept {
  look_at_clock();
  for (size_t without_work = 0; without_work < awake_.size();) {
    TurnTaker* const one = awake_.front();
    awake_.splice(awake_.end(), awake_, awake_.begin());
    const bool worked = one != nullptr && one->work();
    if (worked) ++taken_;
    without_work = worked ? 0 : without_work + 1;
    if (worked && look_at_clock() >= end) break;
  }
}

void Turns::tidy() noexcept {
  untidy_.remove_if([](TurnTaker* taker) { return taker->tidy(); });
  if (!untidy_.empty()) tidy_later();
}

void Turns::tidy_later() {
  uv_timer_start(
      &tidy_, [](uv_timer_t* handle) { of_handle(handle).tidy(); }, kTidyAfter, 0);
}

}  // namespace ballermann
