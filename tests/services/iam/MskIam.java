package pinhost.test;

import java.io.IOException;
import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerExtensionsValidatorCallback;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * Lets clients in as brokers of Amazon MSK do: by a URL of its own that was signed with the keys of an AWS identity.
 *
 * <p>The signature is computed again, as AWS documents it (Signature Version 4, query parameters), from a secret that follows
 * from the key's id. An identity is temporary: its session token, which is signed, says until when it lives ("until-SECONDS").
 * An id that begins with AKIADENIED has the right keys and no right to connect. {@code pinhost.iam.log} names a file to which
 * each verdict is appended.
 */
public final class MskIam implements AuthenticateCallbackHandler {
    private static final String REGION = "us-east-1";
    private static final String HOST = "kafka." + REGION + ".amazonaws.com";
    private static final Duration LIFE_MAX = Duration.ofMinutes(15);
    private static final Duration CLOCKS_APART_MAX = Duration.ofMinutes(5);
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);
    private static final Set<String> NAMES = Set.of(
            "Action", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
            "X-Amz-Signature", "X-Amz-Security-Token", "User-Agent");

    private static final class Refused extends Exception {
        Refused(String why) {
            super(why);
        }
    }

    private record Token(String value, String id, Long startTimeMs, long lifetimeMs) implements OAuthBearerToken {
        /** The role, which is the same for all keys that it is given. */
        @Override
        public String principalName() {
            return "arn:aws:iam::000000000000:role/pins";
        }

        @Override
        public Set<String> scope() {
            return Set.of();
        }
    }

    @Override
    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {
    }

    @Override
    public void close() {
    }

    @Override
    public void handle(Callback[] callbacks) throws IOException, UnsupportedCallbackException {
        for (Callback callback : callbacks) {
            if (callback instanceof OAuthBearerValidatorCallback asked) {
                try {
                    Token token = validate(asked.tokenValue(), Instant.now());
                    asked.token(token);
                    note("accepted " + token.id());
                } catch (Refused refused) {
                    asked.error("access_denied", null, null);
                    note("refused " + refused.getMessage());
                }
            } else if (callback instanceof OAuthBearerExtensionsValidatorCallback asked) {
                asked.inputExtensions().map().keySet().forEach(asked::valid);
            } else {
                throw new UnsupportedCallbackException(callback);
            }
        }
    }

    private static Token validate(String token, Instant now) throws Refused {
        URI url;
        try {
            url = URI.create(new String(Base64.getUrlDecoder().decode(token), StandardCharsets.US_ASCII));
        } catch (IllegalArgumentException unfit) {
            throw new Refused("no URL in base64: " + unfit.getMessage());
        }
        check("https".equals(url.getScheme()) && HOST.equals(url.getHost()), "signed for " + url.getHost());
        check("/".equals(url.getPath()), "signed for the path " + url.getPath());
        Map<String, String> query = new TreeMap<>();
        for (String pair : url.getRawQuery().split("&")) {
            String[] parts = pair.split("=", 2);
            check(parts.length == 2, "a query that is none");
            check(query.put(decode(parts[0]), decode(parts[1])) == null, parts[0] + " twice");
        }
        check(NAMES.containsAll(query.keySet()), "unknown names in " + query.keySet());
        check("kafka-cluster:Connect".equals(query.get("Action")), "another action");
        check("AWS4-HMAC-SHA256".equals(query.get("X-Amz-Algorithm")), "another algorithm");
        check("host".equals(query.get("X-Amz-SignedHeaders")), "other signed headers");

        String date = query.getOrDefault("X-Amz-Date", "");
        String[] credential = query.getOrDefault("X-Amz-Credential", "").split("/");
        check(credential.length == 5 && date.length() == 16, "no credential, or no date");
        String scope = date.substring(0, 8) + "/" + REGION + "/kafka-cluster/aws4_request";
        check(String.join("/", List.of(credential).subList(1, 5)).equals(scope), "another scope");

        String id = credential[0];
        String signature = query.remove("X-Amz-Signature");
        query.remove("User-Agent");
        check(sign(query, id, scope, date).equals(signature), "a wrong signature");

        Instant signed = Instant.from(TIME.parse(date));
        Duration life = Duration.ofSeconds(Long.parseLong(query.get("X-Amz-Expires")));
        check(!life.isNegative() && life.compareTo(LIFE_MAX) <= 0, "signed for too long");
        check(signed.isBefore(now.plus(CLOCKS_APART_MAX)), "signed in the future");
        Instant ends = signed.plus(life);
        String session = query.getOrDefault("X-Amz-Security-Token", "");
        check(session.startsWith("until-"), "no session token");
        Instant until = Instant.ofEpochSecond(Long.parseLong(session.substring("until-".length())));
        ends = until.isBefore(ends) ? until : ends;
        check(now.isBefore(ends), "expired " + id);
        check(!id.startsWith("AKIADENIED"), "denied " + id);
        return new Token(token, id, signed.toEpochMilli(), ends.toEpochMilli());
    }

    private static String sign(Map<String, String> query, String id, String scope, String date) {
        StringBuilder canonical = new StringBuilder();
        query.forEach((name, value) ->
                canonical.append(canonical.isEmpty() ? "" : "&").append(encode(name)).append('=').append(encode(value)));
        String request = "GET\n/\n" + canonical + "\nhost:" + HOST + "\n\nhost\n" + sha256("");
        String text = "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + sha256(request);
        byte[] key = ("AWS4" + sha256("secret of " + id)).getBytes(StandardCharsets.UTF_8);
        for (String part : scope.split("/")) {
            key = hmac(key, part);
        }
        return HexFormat.of().formatHex(hmac(key, text));
    }

    private static void check(boolean holds, String otherwise) throws Refused {
        if (!holds) {
            throw new Refused(otherwise);
        }
    }

    private static String decode(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
    }

    private static String sha256(String text) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest);
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static byte[] hmac(byte[] key, String text) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static synchronized void note(String verdict) throws IOException {
        Files.writeString(
                Path.of(System.getProperty("pinhost.iam.log")),
                verdict + "\n",
                StandardOpenOption.CREATE,
                StandardOpenOption.APPEND);
    }
}
