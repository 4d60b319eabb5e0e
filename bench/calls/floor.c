/* What the system itself needs to wake two processes by turns: round trips over two eventfds, each end in epoll_wait.
 * Says how many µs one took. Usage: floor <round trips> */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static int epoll_of(int bell) {
  struct epoll_event event = {.events = EPOLLIN};
  const int epoll = epoll_create1(0);
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, bell, &event) != 0) exit(1);
  return epoll;
}

static void wait_for(int epoll, int bell) {
  struct epoll_event event;
  uint64_t rings = 0;
  if (epoll_wait(epoll, &event, 1, -1) != 1 || read(bell, &rings, sizeof rings) != sizeof rings || rings != 1) exit(1);
}

static void ring(int bell) {
  const uint64_t one = 1;
  if (write(bell, &one, sizeof one) != sizeof one) exit(1);
}

int main(int argc, char** argv) {
  const int round_trips = argc == 2 ? atoi(argv[1]) : 0;
  const int there = eventfd(0, EFD_NONBLOCK), back = eventfd(0, EFD_NONBLOCK);
  if (round_trips <= 0 || there < 0 || back < 0) return 2;
  if (fork() == 0) {
    const int epoll = epoll_of(there);
    for (int i = 0; i < round_trips; i++) {
      wait_for(epoll, there);
      ring(back);
    }
    _exit(0);
  }
  const int epoll = epoll_of(back);
  const double begin = now_us();
  for (int i = 0; i < round_trips; i++) {
    ring(there);
    wait_for(epoll, back);
  }
  const double end = now_us();
  int status = 1;
  wait(&status);
  printf("%.3f\n", (end - begin) / round_trips);
  return status == 0 ? 0 : 1;
}
