// The end of a file of scenarios: runs those of this build.
#pragma once

#include "runner.hpp"

namespace ballermann {
namespace {

// As RUN(name, type) lines.
#define RUN(name, ...) {#name, rl::simulate<__VA_ARGS__>},
const checked::Runner runners[] = {
#include "small/scenarios.inc"
};
#undef RUN

}  // namespace
}  // namespace ballermann

int main(int argc, char** argv) { return checked::run_scenario(ballermann::runners, argc, argv); }
