// What an app in Java does; it answers ok, or how it failed. Arguments: its port, the folder it may write to, whether it is kept
// from all others.
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.nio.file.*;
import java.util.concurrent.*;
import java.util.stream.LongStream;

public class App {
    static String all(Path data, boolean isKept) throws Exception {
        Files.writeString(data.resolve("x"), "x");
        try {
            Files.writeString(data.resolveSibling("x"), "x");
            if (isKept) return "it could write";
        } catch (FileSystemException denied) {
            if (!isKept) throw denied;
        }
        var pool = Executors.newFixedThreadPool(8);
        var answers = pool.invokeAll(java.util.Collections.nCopies(20, () -> 7));
        for (var answer : answers) if (!Integer.valueOf(7).equals(answer.get())) return "no thread";
        pool.shutdown();
        // Long enough to be compiled at run time.
        if (LongStream.range(0, 20_000_000).map(n -> n % 7).sum() != 59_999_997L) return "it computes wrong";
        var child = new ProcessBuilder("/bin/echo", "x").start();
        if (!new String(child.getInputStream().readAllBytes()).equals("x\n")) return "no child";
        java.security.SecureRandom.getInstanceStrong().nextInt();
        java.net.NetworkInterface.getNetworkInterfaces();
        return "ok";
    }

    public static void main(String[] args) throws Exception {
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 0);
        server.createContext("/", exchange -> {
            String text;
            try {
                text = exchange.getRequestURI().getPath().equals("/all") ? all(Path.of(args[1]), args.length > 2) : "ok";
            } catch (Throwable failed) {
                text = failed.toString();
            }
            exchange.sendResponseHeaders(200, text.length());
            exchange.getResponseBody().write(text.getBytes());
            exchange.close();
        });
        server.start();
    }
}
