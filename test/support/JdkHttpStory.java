// HTTP/2 as the JDK has it (java.net.http), which is neither Netty's nor nghttp2's: unary gRPC calls by hand, over TLS with a
// certificate, one after the other and many at a time. Prints what it hears, one JSON value a line.
//
//   java JdkHttpStory.java host:port ca.pem cert.pem key.pem

import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public final class JdkHttpStory {
  private static final char[] NO_PASSWORD = {};

  private final HttpClient client;
  private final String origin;

  private JdkHttpStory(HttpClient client, String origin) {
    this.client = client;
    this.origin = origin;
  }

  public static void main(String[] args) throws Exception {
    SSLContext tls = tls(args[1], args[2], args[3]);
    HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_2).sslContext(tls).build();
    new JdkHttpStory(client, "https://" + args[0]).tell();
    System.exit(0);
  }

  private void tell() {
    HttpResponse<byte[]> first = call("KV/Put", put("jdk", "1")).join();
    say("put", first.version() + " " + first.statusCode() + " " + first.headers().firstValue("content-type").orElse(""));
    call("KV/Put", put("jdk", "2")).join();
    byte[] range = call("KV/Range", field(1, "jdk")).join().body();
    // The value is what the only pair ends with; the number of pairs follows it.
    say("get", (char) range[range.length - 3]);
    List<CompletableFuture<HttpResponse<byte[]>>> calls = new ArrayList<>();
    for (int i = 0; i < 200; i++) calls.add(call("KV/Put", put("jdk" + i, "x".repeat(1_000))));
    say("at the same time", calls.stream().filter(call -> call.join().body().length > 5).count());
    say("a large value", call("KV/Put", put("large", "y".repeat(1_000_000))).join().body().length > 5);
    HttpResponse<byte[]> large = call("KV/Range", field(1, "large")).join();
    say("and back", large.body().length > 1_000_000);
    HttpResponse<byte[]> nowhere = call("No/Where", new byte[0]).join();
    say("no such service", nowhere.statusCode() + " " + nowhere.body().length);
  }

  private CompletableFuture<HttpResponse<byte[]>> call(String method, byte[] message) {
    byte[] body = new byte[5 + message.length];
    for (int i = 0; i < 4; i++) body[1 + i] = (byte) (message.length >>> (24 - 8 * i));
    System.arraycopy(message, 0, body, 5, message.length);
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(origin + "/etcdserverpb." + method))
            .timeout(Duration.ofSeconds(60))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .POST(HttpRequest.BodyPublishers.ofByteArray(body))
            .build();
    return client.sendAsync(request, HttpResponse.BodyHandlers.ofByteArray());
  }

  private static SSLContext tls(String ca, String cert, String key) throws Exception {
    KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
    trusted.load(null);
    trusted.setCertificateEntry("ca", certificate(ca));
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(trusted);
    PrivateKey own = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(pem(key)));
    KeyStore shown = KeyStore.getInstance(KeyStore.getDefaultType());
    shown.load(null);
    shown.setKeyEntry("own", own, NO_PASSWORD, new Certificate[] {certificate(cert)});
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(shown, NO_PASSWORD);
    SSLContext tls = SSLContext.getInstance("TLS");
    tls.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    return tls;
  }

  private static Certificate certificate(String path) throws Exception {
    return CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(pem(path)));
  }

  private static byte[] pem(String path) throws Exception {
    String text = Files.readString(Path.of(path));
    return Base64.getMimeDecoder().decode(text.replaceAll("-----[^-]+-----", ""));
  }

  private static byte[] put(String key, String value) {
    return join(field(1, key), field(2, value));
  }

  private static byte[] field(int number, String text) {
    byte[] bytes = text.getBytes();
    byte[] head = new byte[5];
    head[0] = (byte) (number << 3 | 2);
    // A length in four bytes, whatever it is: varints may be longer than they need to be.
    for (int i = 0; i < 4; i++) head[1 + i] = (byte) (bytes.length >>> 7 * i & 0x7f | (i < 3 ? 0x80 : 0));
    return join(head, bytes);
  }

  private static byte[] join(byte[] first, byte[] second) {
    byte[] both = new byte[first.length + second.length];
    System.arraycopy(first, 0, both, 0, first.length);
    System.arraycopy(second, 0, both, first.length, second.length);
    return both;
  }

  private static void say(String step, Object heard) {
    System.out.println("[\"" + step + "\", \"" + heard + "\"]");
  }
}
