// A client in Java: gRPC as Debian packages it (libgrpc-java, over Netty), told to do what every client does. It prints what it
// hears, one JSON value a line, so that a real etcd and kvd can be compared. Messages are put together by hand: what is tested is
// the transport, and no generated code is needed.
//
//   java -cp … JavaStory host:port

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

public final class JavaStory {
  private static final MethodDescriptor.Marshaller<byte[]> RAW =
      new MethodDescriptor.Marshaller<byte[]>() {
        @Override
        public InputStream stream(byte[] value) {
          return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException e) {
            throw new IllegalStateException(e);
          }
        }
      };

  private static final MethodDescriptor<byte[], byte[]> PUT = method("etcdserverpb.KV/Put", MethodType.UNARY);
  private static final MethodDescriptor<byte[], byte[]> RANGE = method("etcdserverpb.KV/Range", MethodType.UNARY);
  private static final MethodDescriptor<byte[], byte[]> DELETE =
      method("etcdserverpb.KV/DeleteRange", MethodType.UNARY);
  private static final MethodDescriptor<byte[], byte[]> WATCH =
      method("etcdserverpb.Watch/Watch", MethodType.BIDI_STREAMING);
  private static final MethodDescriptor<byte[], byte[]> GRANT = method("etcdserverpb.Lease/LeaseGrant", MethodType.UNARY);
  private static final MethodDescriptor<byte[], byte[]> KEEP_ALIVE =
      method("etcdserverpb.Lease/LeaseKeepAlive", MethodType.BIDI_STREAMING);
  private static final MethodDescriptor<byte[], byte[]> SNAPSHOT =
      method("etcdserverpb.Maintenance/Snapshot", MethodType.SERVER_STREAMING);
  private static final MethodDescriptor<byte[], byte[]> NOWHERE = method("no.Where/Nothing", MethodType.UNARY);

  private final Channel channel;

  private JavaStory(Channel channel) {
    this.channel = channel;
  }

  public static void main(String[] args) throws Exception {
    String[] address = args[0].split(":");
    ManagedChannel channel =
        NettyChannelBuilder.forAddress(address[0], Integer.parseInt(address[1]))
            .maxInboundMessageSize(1 << 26)
            .usePlaintext()
            .build();
    try {
      new JavaStory(channel).tell();
    } finally {
      channel.shutdownNow();
      channel.awaitTermination(10, TimeUnit.SECONDS);
    }
  }

  private void tell() throws Exception {
    say("put", unary(PUT, put("java/a", "1".getBytes())).length > 0);
    say("get", value(unary(RANGE, field(1, "java/a"))));
    say("put and the value before", innerValue(unary(PUT, join(put("java/a", "2".getBytes()), number(4, 1))), 2));
    say("nothing there", read(unary(RANGE, field(1, "java/none"))).stream().filter(part -> part.field == 2).count());
    largeValues();
    concurrent();
    watch();
    leases();
    errors();
    deadline();
    metadata();
    snapshot();
    say("delete", numberOf(unary(DELETE, join(field(1, "java/"), field(2, "java0"))), 2) > 0);
  }

  private void largeValues() {
    for (int size : new int[] {0, 16_384, 100_000, 1_400_000}) {
      unary(PUT, put("java/large", new byte[size]));
      say("value of " + size, value(unary(RANGE, field(1, "java/large"))).length());
    }
    byte[] many = new byte[400_000];
    for (int i = 0; i < 20; i++) unary(PUT, put("java/many/" + (char) ('a' + i), many));
    byte[] answer = unary(RANGE, join(field(1, "java/many/"), field(2, "java/many0")));
    say("answer of 8 MB", answer.length > 8_000_000);
  }

  private void concurrent() throws Exception {
    List<Future<byte[]>> calls = new ArrayList<>();
    for (int i = 0; i < 1_000; i++) {
      calls.add(ClientCalls.futureUnaryCall(channel.newCall(PUT, options()), put("java/c" + i % 10, "x".getBytes())));
    }
    int done = 0;
    for (Future<byte[]> call : calls) if (call.get(60, TimeUnit.SECONDS).length > 0) done++;
    say("at the same time", done);
  }

  private void watch() throws Exception {
    BlockingQueue<byte[]> heard = new LinkedBlockingQueue<>();
    Collector collector = new Collector(heard);
    ClientCall<byte[], byte[]> call = channel.newCall(WATCH, options());
    StreamObserver<byte[]> requests = ClientCalls.asyncBidiStreamingCall(call, collector);
    requests.onNext(field(1, field(1, "java/w")));
    say("watch is made", numberOf(next(heard), 3));
    List<String> events = new ArrayList<>();
    for (int i = 0; i < 3; i++) unary(PUT, put("java/w", ("v" + i).getBytes()));
    unary(DELETE, field(1, "java/w"));
    while (events.size() < 4) {
      for (Part part : read(next(heard))) {
        if (part.field != 11) continue;
        List<Part> event = read(part.bytes);
        boolean isDelete = event.stream().anyMatch(one -> one.field == 1 && one.number == 1);
        byte[] kv = event.stream().filter(one -> one.field == 2).findFirst().orElseThrow().bytes;
        events.add(isDelete ? "gone" : text(kv, 5));
      }
    }
    say("events", String.join(" ", events));
    call.cancel("enough", null);
    say("watch ends", collector.ended());
  }

  private void leases() throws Exception {
    byte[] granted = unary(GRANT, number(1, 60));
    say("lease for seconds", numberOf(granted, 3));
    long id = numberOf(granted, 2);
    BlockingQueue<byte[]> heard = new LinkedBlockingQueue<>();
    Collector collector = new Collector(heard);
    StreamObserver<byte[]> requests =
        ClientCalls.asyncBidiStreamingCall(channel.newCall(KEEP_ALIVE, options()), collector);
    for (int i = 0; i < 50; i++) requests.onNext(number(1, id));
    int kept = 0;
    for (int i = 0; i < 50; i++) if (numberOf(next(heard), 3) == 60) kept++;
    requests.onCompleted();
    say("kept alive", kept);
    say("keep-alives end", collector.ended());
  }

  private void errors() {
    say("future revision", statusOf(() -> unary(RANGE, join(field(1, "java/a"), number(4, 1_000_000)))));
    say("no key", statusOf(() -> unary(PUT, new byte[0])));
    say("no such lease", statusOf(() -> unary(PUT, join(put("java/l", new byte[1]), number(3, 4_711)))));
    say("no such service", statusOf(() -> unary(NOWHERE, new byte[0])));
    say("not a message", statusOf(() -> unary(PUT, new byte[] {0x0a, (byte) 0xff})).split(":")[0]);
  }

  private void deadline() {
    CallOptions soon = CallOptions.DEFAULT.withDeadlineAfter(300, TimeUnit.MILLISECONDS);
    BlockingQueue<byte[]> heard = new LinkedBlockingQueue<>();
    Collector collector = new Collector(heard);
    ClientCalls.asyncBidiStreamingCall(channel.newCall(WATCH, soon), collector).onNext(field(1, field(1, "java/w")));
    say("deadline", collector.ended());
  }

  private void metadata() {
    Metadata fields = new Metadata();
    fields.put(Metadata.Key.of("hasleader", Metadata.ASCII_STRING_MARSHALLER), "true");
    fields.put(Metadata.Key.of("trace-bin", Metadata.BINARY_BYTE_MARSHALLER), new byte[] {0, (byte) 0xff});
    Channel with = ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(fields));
    byte[] answer = ClientCalls.blockingUnaryCall(with, RANGE, options(), field(1, "java/a"));
    say("with metadata", value(answer));
  }

  private void snapshot() {
    Iterator<byte[]> parts = ClientCalls.blockingServerStreamingCall(channel, SNAPSHOT, options(), new byte[0]);
    long bytes = 0;
    while (parts.hasNext()) {
      for (Part part : read(parts.next())) if (part.field == 3) bytes += part.bytes.length;
    }
    say("snapshot", bytes > 8_000_000);
  }

  // ---- calls

  private byte[] unary(MethodDescriptor<byte[], byte[]> method, byte[] request) {
    return ClientCalls.blockingUnaryCall(channel, method, options(), request);
  }

  private static CallOptions options() {
    return CallOptions.DEFAULT.withDeadlineAfter(60, TimeUnit.SECONDS).withWaitForReady();
  }

  private static MethodDescriptor<byte[], byte[]> method(String name, MethodType type) {
    return MethodDescriptor.newBuilder(RAW, RAW).setFullMethodName(name).setType(type).build();
  }

  private static String statusOf(Supplier<byte[]> call) {
    try {
      call.get();
      return "OK";
    } catch (StatusRuntimeException e) {
      return e.getStatus().getCode() + ": " + e.getStatus().getDescription();
    }
  }

  private static byte[] next(BlockingQueue<byte[]> heard) throws InterruptedException {
    byte[] message = heard.poll(60, TimeUnit.SECONDS);
    if (message == null) throw new IllegalStateException("nothing came");
    return message;
  }

  private static final class Collector implements StreamObserver<byte[]> {
    private final BlockingQueue<byte[]> messages;
    private final BlockingQueue<Status> end = new LinkedBlockingQueue<>();

    Collector(BlockingQueue<byte[]> messages) {
      this.messages = messages;
    }

    @Override
    public void onNext(byte[] message) {
      messages.add(message);
    }

    @Override
    public void onError(Throwable error) {
      end.add(Status.fromThrowable(error));
    }

    @Override
    public void onCompleted() {
      end.add(Status.OK);
    }

    String ended() {
      try {
        Status status = end.poll(60, TimeUnit.SECONDS);
        return status == null ? "never" : status.getCode().toString();
      } catch (InterruptedException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  // ---- messages

  private static final class Part {
    final int field;
    final long number;
    final byte[] bytes;

    Part(int field, long number, byte[] bytes) {
      this.field = field;
      this.number = number;
      this.bytes = bytes;
    }
  }

  private static byte[] put(String key, byte[] value) {
    return join(field(1, key), field(2, value));
  }

  private static byte[] field(int number, String text) {
    return field(number, text.getBytes(StandardCharsets.UTF_8));
  }

  private static byte[] field(int number, byte[] bytes) {
    return join(varint(number << 3 | 2), varint(bytes.length), bytes);
  }

  private static byte[] number(int field, long value) {
    return join(varint(field << 3), varint(value));
  }

  private static byte[] varint(long value) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (; (value & ~0x7fL) != 0; value >>>= 7) out.write((int) (value & 0x7f | 0x80));
    out.write((int) value);
    return out.toByteArray();
  }

  private static byte[] join(byte[]... parts) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (byte[] part : parts) out.writeBytes(part);
    return out.toByteArray();
  }

  private static List<Part> read(byte[] message) {
    List<Part> parts = new ArrayList<>();
    int[] at = {0};
    while (at[0] < message.length) {
      long tag = readVarint(message, at);
      long value = readVarint(message, at);
      byte[] bytes = new byte[0];
      if ((tag & 7) == 2) {
        bytes = Arrays.copyOfRange(message, at[0], at[0] + (int) value);
        at[0] += (int) value;
      }
      parts.add(new Part((int) (tag >> 3), value, bytes));
    }
    return parts;
  }

  private static long readVarint(byte[] message, int[] at) {
    long value = 0;
    for (int shift = 0; ; shift += 7) {
      byte part = message[at[0]++];
      value |= (long) (part & 0x7f) << shift;
      if (part >= 0) return value;
    }
  }

  private static long numberOf(byte[] message, int field) {
    return read(message).stream().filter(part -> part.field == field).mapToLong(part -> part.number).findFirst().orElse(0);
  }

  private static String text(byte[] message, int field) {
    return read(message).stream()
        .filter(part -> part.field == field)
        .map(part -> new String(part.bytes, StandardCharsets.ISO_8859_1))
        .findFirst()
        .orElse("");
  }

  /** The value of the first pair in the answer to a range. */
  private static String value(byte[] answer) {
    return innerValue(answer, 2);
  }

  private static String innerValue(byte[] answer, int field) {
    return read(answer).stream().filter(part -> part.field == field).map(kv -> text(kv.bytes, 5)).findFirst().orElse("none");
  }

  private static void say(String step, Object heard) {
    String text = String.valueOf(heard).replace("\\", "\\\\").replace("\"", "\\\"");
    System.out.println("[\"" + step + "\", \"" + text + "\"]");
  }
}
