// A device that is not the CPU, for machines without a GPU: its memory is main memory and its kernels are the CPU's, but its rules
// are a GPU's. A kernel that is given a tensor of the device and one of the CPU (of more than one number) is an error, and every
// wait of the host for the device is counted.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/InlineDeviceGuard.h>
#include <torch/library.h>
#include <unordered_set>

namespace {
constexpr auto kMadeUp = c10::DeviceType::PrivateUse1;
const c10::Device device0(kMadeUp, 0);
int64_t waits = 0;
thread_local int inside = 0;   // a kernel of the CPU is running for one of the device
struct Inside { Inside() { ++inside; } ~Inside() { --inside; } };

struct Guard final : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::Meta> {
  c10::DeviceType type() const override { return kMadeUp; }
  c10::Device exchangeDevice(c10::Device) const override { return device0; }
  c10::Device getDevice() const override { return device0; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, device0); }
  c10::Stream getNewStream(c10::Device, int = 0) const override { return c10::Stream(c10::Stream::DEFAULT, device0); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, device0); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t size) const override {
    at::DataPtr fresh = storage.allocator()->allocate(size);
    memcpy(fresh.get(), storage.data(), std::min(size, storage.nbytes()));
    storage.set_data_ptr(std::move(fresh));
    storage.unsafeGetStorageImpl()->set_nbytes(size);
  }
};

struct Allocator final : c10::Allocator {
  at::DataPtr allocate(size_t n) override {
    void* data = n ? c10::alloc_cpu(n) : nullptr;
    return {data, data, &c10::free_cpu, device0};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* to, const void* from, std::size_t n) const override { memcpy(to, from, n); }
};
Allocator allocator;
REGISTER_ALLOCATOR(kMadeUp, &allocator)

at::Tensor empty(c10::SymIntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>, std::optional<at::Device>,
                 std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                         std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), &allocator,
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype));
}

// the same memory as a tensor of the CPU
at::Tensor seen(const at::Tensor& t) {
  if (t.device().type() != kMadeUp) return t;
  return at::from_blob(const_cast<void*>(t.const_data_ptr()), t.sizes(), t.strides(), t.options().device(at::kCPU));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  if (!inside && from.device().type() == kMadeUp && to.device().type() == at::kCPU) ++waits;
  seen(to).copy_(seen(from));
  return to;
}

const at::Tensor& resize(const at::Tensor& t, c10::SymIntArrayRef size, std::optional<at::MemoryFormat> format) {
  at::native::resize_impl_cpu_(t.unsafeGetTensorImpl(), C10_AS_INTARRAYREF_SLOW(size), std::nullopt);
  if (format) t.unsafeGetTensorImpl()->empty_tensor_restride(*format);
  return t;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (to.sizes() != from.sizes()) resize(to, from.sym_sizes(), std::nullopt);
  return copy_from(from, to, false);
}

at::Scalar local_scalar_dense(const at::Tensor& t) {
  if (!inside) ++waits;
  return seen(t).item();
}

at::Tensor convolution(const at::Tensor& x, const at::Tensor& w, const std::optional<at::Tensor>& b, at::IntArrayRef stride, at::IntArrayRef padding,
                       at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding, int64_t groups) {
  TORCH_CHECK(x.device() == w.device(), "convolution mixes a tensor of the device with one of the CPU");
  Inside now;
  return at::convolution(x.cpu(), w.cpu(), b && b->defined() ? std::optional<at::Tensor>(b->cpu()) : std::nullopt, stride, padding, dilation, transposed,
                         output_padding, groups).to(device0);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(const at::Tensor& g, const at::Tensor& x, const at::Tensor& w, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding, int64_t groups, std::array<bool, 3> mask) {
  TORCH_CHECK(g.device() == w.device() && x.device() == w.device(), "convolution_backward mixes a tensor of the device with one of the CPU");
  Inside now;
  auto [a, b, c] = at::convolution_backward(g.cpu(), x.cpu(), w.cpu(), at::OptionalIntArrayRef(at::IntArrayRef({w.size(transposed ? 1 : 0)*(transposed ? groups : 1)})),
                                            stride, padding, dilation, transposed, output_padding, groups, mask);
  auto back = [](const at::Tensor& t) { return t.defined() ? t.to(device0) : t; };
  return {back(a), back(b), back(c)};
}

// what a GPU has for recurrent layers, from the gates' sums; `work` keeps what the gradient needs
using at::Tensor;
using Bias = std::optional<Tensor>;
Tensor with(const Tensor& t, const Bias& b) { return b && b->defined() ? seen(t) + seen(*b) : seen(t); }
void one_device(const Tensor& a, const Tensor& b, const Tensor& c) {
  TORCH_CHECK(a.device() == b.device() && b.device() == c.device(), "a recurrent cell mixes a tensor of the device with one of the CPU");
}

std::tuple<Tensor, Tensor> gru_cell(const Tensor& x, const Tensor& h, const Tensor& state, const Bias& bx, const Bias& bh) {
  one_device(x, h, state);
  Inside now;
  auto a = with(x, bx).chunk(3, 1), b = with(h, bh).chunk(3, 1);
  Tensor r = (a[0] + b[0]).sigmoid(), z = (a[1] + b[1]).sigmoid(), n = (a[2] + r*b[2]).tanh(), s = seen(state);
  return {(n + z*(s - n)).to(device0), at::cat({r, z, n, s, b[2]}, 1).to(device0)};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> gru_cell_backward(const Tensor& gradient, const Tensor& work, bool bias) {
  Inside now;
  auto w = seen(work).chunk(5, 1);
  Tensor g = seen(gradient), r = w[0], z = w[1], n = w[2];
  Tensor gz = g*(w[3] - n)*z*(1 - z), gn = g*(1 - z)*(1 - n*n), gr = gn*w[4]*r*(1 - r);
  Tensor x = at::cat({gr, gz, gn}, 1), h = at::cat({gr, gz, gn*r}, 1);
  auto sum = [&](const Tensor& t) { return bias ? t.sum(0).to(device0) : Tensor(); };
  return {x.to(device0), h.to(device0), (g*z).to(device0), sum(x), sum(h)};
}

std::tuple<Tensor, Tensor, Tensor> lstm_cell(const Tensor& x, const Tensor& h, const Tensor& cell, const Bias& bx, const Bias& bh) {
  one_device(x, h, cell);
  Inside now;
  auto g = (with(x, bx) + with(h, bh)).chunk(4, 1);
  Tensor i = g[0].sigmoid(), f = g[1].sigmoid(), n = g[2].tanh(), o = g[3].sigmoid(), c = f*seen(cell) + i*n;
  return {(o*c.tanh()).to(device0), c.to(device0), at::cat({i, f, n, o}, 1).to(device0)};
}

std::tuple<Tensor, Tensor, Tensor> lstm_cell_backward(const Bias& gh, const Bias& gc, const Tensor& before, const Tensor& after, const Tensor& work, bool bias) {
  Inside now;
  auto w = seen(work).chunk(4, 1);
  Tensor t = seen(after).tanh(), h = gh && gh->defined() ? seen(*gh) : at::zeros_like(t);
  Tensor c = h*w[3]*(1 - t*t);
  if (gc && gc->defined()) c = c + seen(*gc);
  Tensor gates = at::cat({c*w[2]*w[0]*(1 - w[0]), c*seen(before)*w[1]*(1 - w[1]), c*w[0]*(1 - w[2]*w[2]), h*t*w[3]*(1 - w[3])}, 1);
  return {gates.to(device0), (c*w[1]).to(device0), bias ? gates.sum(0).to(device0) : Tensor()};
}

// it changes the running means without saying so in its signature: no copy would come back
std::tuple<Tensor, Tensor, Tensor> batch_norm(const Tensor& x, const Bias& w, const Bias& b, const Bias& mean, const Bias& variance, bool training, double momentum, double eps) {
  auto same = [&](const Bias& t) {
    if (!t || !t->defined()) return Bias();
    TORCH_CHECK(t->device() == x.device(), "native_batch_norm mixes a tensor of the device with one of the CPU");
    return Bias(seen(*t));
  };
  Inside now;
  auto [y, m, v] = at::native_batch_norm(seen(x), same(w), same(b), same(mean), same(variance), training, momentum, eps);
  return {y.to(device0), m.to(device0), v.to(device0)};
}

// kernels that a GPU can't begin before the host knows a number or a shape
const std::unordered_set<std::string> WAITING = {"aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive",
                                                 "aten::bincount", "aten::equal", "aten::repeat_interleave"};

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  bool here = false, there = false;
  auto look = [&](const at::Tensor& t) {
    if (!t.defined()) return;
    if (t.device().type() == kMadeUp) here = true;
    else if (t.dim() > 0) there = true;
  };
  for (const auto& value : torch::jit::last(stack, op.schema().arguments().size())) {
    if (value.isTensor()) look(value.toTensor());
    else if (value.isTensorList()) for (const at::Tensor& t : value.toTensorVector()) look(t);
    else if (value.isOptionalTensorList()) for (const std::optional<at::Tensor>& t : value.toOptionalTensorList()) if (t) look(*t);
  }
  TORCH_CHECK(!(here && there), op.schema().name(), " mixes a tensor of the device with one of the CPU");
  if (!inside && WAITING.count(op.schema().name())) ++waits;
  Inside now;
  at::native::cpu_fallback(op, stack);
}

int64_t count(bool reset) {
  auto so_far = waits;
  if (reset) waits = 0;
  return so_far;
}
}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("unfold", at::native::unfold);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", local_scalar_dense);
  m.impl("resize_", resize);
  m.impl("set_.source_Storage_storage_offset", at::native::set_storage_cpu_);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
  m.impl("native_batch_norm", batch_norm);
  m.impl("_thnn_fused_gru_cell", gru_cell);
  m.impl("_thnn_fused_gru_cell_backward", gru_cell_backward);
  m.impl("_thnn_fused_lstm_cell", lstm_cell);
  m.impl("_thnn_fused_lstm_cell_backward_impl", lstm_cell_backward);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

TORCH_LIBRARY(made_up, m) {
  m.def("waits(bool reset) -> int", &count);
  m.def("begin() -> ()", [] { static Hooks hooks; at::RegisterPrivateUse1HooksInterface(&hooks); });
}
