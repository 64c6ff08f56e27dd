// How the process ends: what ran, where, and what is wrong.

#include "fiber.h"

#include <dlfcn.h>
#include <signal.h>
#include <ucontext.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace emu {

namespace {

// ---- Messages ----------------------------------------------------------------------------------

thread_local const char *call_name;

// The process is about to end, so that this is no place for the restrictions on signal handlers.
void print_line(void *instruction) {
    Dl_info info;
    if (!instruction || !dladdr(instruction, &info)) return;
    char command[4096];
    snprintf(command, sizeof command, "addr2line -i -f -C -s -e '%s' 0x%zx 1>&2", info.dli_fname,
             size_t(static_cast<char *>(instruction) - static_cast<char *>(info.dli_fbase)) - 1);
    fflush(stderr);
    if (system(command)) fprintf(stderr, "at %p in %s\n", instruction, info.dli_fname);
}

[[noreturn]] void end(void *instruction, const char *format, va_list arguments) {
    fprintf(stderr, "\nCUDA emulator: ");
    if (current) {
        fprintf(
            stderr,
            "kernel %s<<<(%u, %u, %u), (%u, %u, %u)>>>, block (%u, %u, %u), thread (%u, %u, %u) ",
            launch->kernel->name, gridDim.x, gridDim.y, gridDim.z, blockDim.x, blockDim.y,
            blockDim.z, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    } else if (launch) {
        fprintf(stderr, "kernel %s: ", launch->kernel->name);
    } else if (call_name) {
        fprintf(stderr, "%s: ", call_name);
    }
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    print_line(instruction);
    signal(SIGABRT, SIG_DFL);
    abort();
}

struct sigaction previous[64];

void on_signal(int number, siginfo_t *info, void *context) {
    if (current) {
        auto *ip = reinterpret_cast<char *>(
            static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP]);
        if (number == SIGILL)
            fail_at(ip + 1, "has undefined behaviour (misaligned, overflowing, out of an array's "
                            "bounds, or a division by zero)");
        if (number == SIGFPE) fail_at(ip + 1, "divides by zero");
        auto *p = static_cast<char *>(info->si_addr);
        if (p >= current->stack && p < current->stack + 4096)
            fail_at(ip + 1, "overflows its stack");
        fail_at(ip + 1, "touches %p, %s", static_cast<void *>(p), whereabouts(p).c_str());
    }
    sigaction(number, &previous[number], nullptr); // the instruction runs again
}

// A fiber's overflown stack cannot hold the handler; the standard library gives its threads another
// one, other callers may not.
void provide_signal_stack() {
    stack_t now;
    if (sigaltstack(nullptr, &now) == 0 && !(now.ss_flags & SS_DISABLE)) return;
    static thread_local std::vector<char> room(64 << 10);
    stack_t mine = {};
    mine.ss_sp = room.data();
    mine.ss_size = room.size();
    sigaltstack(&mine, nullptr);
}

} // namespace

void catch_signals() {
    provide_signal_stack();
    static bool done = false;
    if (done) return;
    done = true;
    for (int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) {
        struct sigaction action = {};
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(number, &action, &previous[number]);
    }
}

Call::Call(const char *name) : outer(call_name) { call_name = name; }
Call::~Call() { call_name = outer; }

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    end(nullptr, format, arguments);
}

void fail_at(void *instruction, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    end(instruction, format, arguments);
}

} // namespace emu
