import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

/** Goes through steps with JDBC: Main THRESHOLD STEP... The database is DATABASE_URL, the threshold "default" or a prepareThreshold. */
public class Main {
  static final int REPETITIONS = 6;
  static final int NOTIFY_PATIENCE = 8000; // milliseconds
  static final Map<String, String> SHELF =
      Map.of("ApplicationName", "shelf", "options", "-c statement_timeout=31s -c search_path=one");

  final String url;
  final Properties login = new Properties();
  final List<Session> opened = new ArrayList<>();
  int retries;

  Main(URI at, String threshold) {
    url = "jdbc:postgresql://" + at.getAuthority().split("@")[1] + at.getPath();
    String[] user = at.getUserInfo().split(":");
    login.setProperty("user", user[0]);
    login.setProperty("password", user[1]);
    if (!threshold.equals("default")) login.setProperty("prepareThreshold", threshold);
  }

  public static void main(String[] arguments) throws Exception {
    Main main = new Main(URI.create(System.getenv("DATABASE_URL")), arguments[0]);
    PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
    for (String step : Arrays.asList(arguments).subList(1, arguments.length)) {
      String came;
      main.retries = 0;
      try {
        came = "\"result\": " + json(main.step(step)) + ", \"retries\": " + main.retries;
      } catch (Exception error) { // any: the next step is to be tried
        came = "\"error\": " + json(error.toString());
      }
      for (Session session : main.opened) session.connection.close();
      main.opened.clear();
      out.println("{\"step\": " + json(step) + ", " + came + "}");
    }
    System.exit(0);
  }

  /** Writes texts, numbers, truths, nulls and lists of them. */
  static String json(Object value) {
    if (value instanceof List<?> list) return "[" + String.join(", ", list.stream().map(Main::json).toList()) + "]";
    if (value instanceof Raw raw) return raw.text();
    if (!(value instanceof String text)) return String.valueOf(value);
    StringBuilder quoted = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c < ' ' || c > '~' || c == '"' || c == '\\') quoted.append(String.format("\\u%04x", (int) c));
      else quoted.append(c);
    }
    return quoted.append('"').toString();
  }

  /** A text that is JSON already. */
  record Raw(String text) {}

  Object step(String name) throws Exception {
    return switch (name) {
      case "connect" -> connect();
      case "simple" -> column(open().query("SELECT n FROM generate_series(1, 3) AS n"));
      case "parameters" -> parameters();
      case "large" -> large();
      case "types" -> types();
      case "concurrent" -> concurrent();
      case "batch" -> batch();
      case "transaction" -> transaction();
      case "set" -> set();
      case "set in a transaction" -> setInTransaction();
      case "set local" -> setLocal();
      case "reset" -> reset();
      case "role" -> role();
      case "prepare" -> prepare();
      case "temporary table" -> temporaryTable();
      case "advisory lock" -> advisoryLock();
      case "cursor" -> cursor();
      case "held cursor" -> heldCursor();
      case "copy in" -> copyIn();
      case "copy out" -> copyOut();
      case "listen" -> listen();
      case "error" -> error();
      case "cancel" -> cancel();
      case "changed table" -> changedTable();
      case "close" -> close();
      default -> throw new IllegalArgumentException("left out");
    };
  }

  Session open() throws SQLException {
    return open(Map.of());
  }

  Session open(Map<String, String> parameters) throws SQLException {
    Properties properties = new Properties();
    properties.putAll(login);
    properties.putAll(parameters);
    Session session = new Session(DriverManager.getConnection(url, properties));
    opened.add(session);
    return session;
  }

  /** A connection that keeps its prepared statements, as connection pools for Java and libraries above JDBC do. */
  static class Session {
    final Connection connection;
    final Map<String, PreparedStatement> prepared = new HashMap<>();

    Session(Connection connection) {
      this.connection = connection;
    }

    PreparedStatement bind(String sql, Object... arguments) throws SQLException {
      PreparedStatement statement = prepared.get(sql);
      if (statement == null) prepared.put(sql, statement = connection.prepareStatement(sql));
      for (int i = 0; i < arguments.length; i++) statement.setObject(i + 1, arguments[i]);
      return statement;
    }

    void run(String sql, Object... arguments) throws SQLException {
      if (arguments.length > 0) {
        bind(sql, arguments).execute();
        return;
      }
      try (Statement statement = connection.createStatement()) {
        statement.execute(sql);
      }
    }

    List<List<Object>> query(String sql, Object... arguments) throws SQLException {
      if (arguments.length > 0) {
        try (ResultSet rows = bind(sql, arguments).executeQuery()) {
          return all(rows);
        }
      }
      try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
        return all(rows);
      }
    }

    static List<List<Object>> all(ResultSet rows) throws SQLException {
      List<List<Object>> all = new ArrayList<>();
      int columns = rows.getMetaData().getColumnCount();
      while (rows.next()) {
        List<Object> row = new ArrayList<>();
        for (int i = 1; i <= columns; i++) row.add(rows.getObject(i));
        all.add(row);
      }
      return all;
    }

    Object value(String sql, Object... arguments) throws SQLException {
      return query(sql, arguments).get(0).get(0);
    }

    List<Object> columns(String sql, Object... arguments) throws SQLException {
      try (ResultSet rows = bind(sql, arguments).executeQuery()) {
        ResultSetMetaData about = rows.getMetaData();
        List<Object> names = new ArrayList<>();
        while (rows.next()) {
          names.clear();
          for (int i = 1; i <= about.getColumnCount(); i++) {
            rows.getObject(i);
            names.add(about.getColumnName(i));
          }
        }
        return names;
      }
    }

    void begin() throws SQLException {
      connection.setAutoCommit(false);
    }

    void commit() throws SQLException {
      connection.commit();
      connection.setAutoCommit(true);
    }

    void rollback() throws SQLException {
      connection.rollback();
      connection.setAutoCommit(true);
    }

    /** All different answers of a query that is repeated. */
    List<Object> distinct(String sql, Object... arguments) throws SQLException {
      List<Object> answers = new ArrayList<>();
      for (int i = 0; i < REPETITIONS; i++) {
        List<Object> row = query(sql, arguments).get(0);
        if (!answers.contains(row)) answers.add(row);
      }
      return answers;
    }

    /** The value of a parameter, or all that were seen if it isn't always the same. */
    Object setting(String name) throws SQLException {
      List<Object> answers = distinct("SELECT current_setting('" + name + "')");
      return answers.size() == 1 ? ((List<?>) answers.get(0)).get(0) : answers;
    }
  }

  interface Action {
    void run() throws Exception;
  }

  /** The SQLSTATE of the error that there must be. */
  static String code(Action action) throws Exception {
    try {
      action.run();
      return null;
    } catch (SQLException error) {
      return error.getSQLState();
    }
  }

  static List<Object> column(List<List<Object>> rows) {
    List<Object> values = new ArrayList<>();
    for (List<Object> row : rows) values.add(row.get(0));
    return values;
  }

  static List<Object> list(Object... values) {
    return Arrays.asList(values);
  }

  static int sum(List<Object> numbers) {
    return numbers.stream().mapToInt(n -> (Integer) n).sum();
  }

  Object connect() throws Exception {
    return open(SHELF)
        .distinct("SELECT current_setting('application_name'), current_setting('statement_timeout'), current_setting('search_path')");
  }

  Object parameters() throws Exception {
    Session c = open();
    int total = 0;
    Object title = null;
    for (int i = 1; i <= 20; i++) {
      List<Object> row = c.query("SELECT CAST(? AS int) * 2, CAST(? AS text)", i, "book " + i).get(0);
      total += (Integer) row.get(0);
      title = row.get(1);
    }
    return list(total, title);
  }

  Object large() throws Exception {
    Session c = open();
    List<Object> answers = new ArrayList<>();
    for (int times : new int[] {340, 34000}) {
      String text = "aé€".repeat(times);
      List<Object> row =
          c.query(
                  "SELECT length(t), md5(t), t, length(b) FROM (SELECT CAST(? AS text) AS t, CAST(? AS bytea) AS b) AS s",
                  text, text.getBytes(StandardCharsets.UTF_8))
              .get(0);
      byte[] back = ((String) row.get(2)).getBytes(StandardCharsets.UTF_8);
      String digest = HexFormat.of().formatHex(MessageDigest.getInstance("MD5").digest(back));
      answers.add(list(row.get(0), row.get(1), digest.equals(row.get(1)), row.get(3)));
    }
    return answers;
  }

  Object types() throws Exception {
    Session c = open();
    List<Object> answers = new ArrayList<>();
    OffsetDateTime moment = OffsetDateTime.ofInstant(Instant.ofEpochSecond(1700000000), ZoneOffset.UTC);
    for (int i = 0; i < REPETITIONS; i++) {
      PreparedStatement statement =
          c.bind(
              "SELECT CAST(? AS int), CAST(? AS int[]), CAST(? AS jsonb), CAST(? AS bytea), CAST(? AS timestamptz), "
                  + "CAST(? AS text), CAST(? AS numeric)",
              null, c.connection.createArrayOf("int4", new Integer[] {1, 2, 3}), "{\"a\": [1, null, \"é\"]}",
              new byte[] {0, 1, (byte) 255, 92}, moment, "naïve", new BigDecimal("12.50"));
      try (ResultSet rows = statement.executeQuery()) {
        rows.next();
        List<Object> row =
            list(
                rows.getObject(1), Arrays.asList((Object[]) rows.getArray(2).getArray()), new Raw(rows.getString(3)),
                HexFormat.of().formatHex(rows.getBytes(4)), rows.getObject(5, OffsetDateTime.class).toEpochSecond(),
                rows.getString(6), rows.getBigDecimal(7).toString());
        if (!answers.contains(row)) answers.add(row);
      }
    }
    return answers;
  }

  /** JDBC has no pool of its own: each worker has a connection. */
  Object concurrent() throws Exception {
    int workers = 4, rounds = 20;
    ExecutorService threads = Executors.newFixedThreadPool(workers);
    List<Callable<Object>> work = new ArrayList<>();
    for (int i = 0; i < workers; i++) {
      String name = "worker " + i;
      Session c = open();
      work.add(
          () -> {
            int right = 0;
            for (int number = 0; number < rounds; number++) {
              c.run("SET application_name = '" + name + "'");
              List<Object> row = c.query("SELECT current_setting('application_name'), CAST(? AS int)", number).get(0);
              if (row.equals(list(name, number))) right++;
            }
            return right;
          });
    }
    List<Object> answers = new ArrayList<>();
    for (Future<Object> answer : threads.invokeAll(work)) answers.add(answer.get());
    threads.shutdown();
    return answers;
  }

  Object batch() throws Exception {
    Session c = open();
    try (PreparedStatement statement = c.connection.prepareStatement("INSERT INTO ticket VALUES (?)")) {
      for (int n = 1; n <= 50; n++) {
        statement.setInt(1, n);
        statement.addBatch();
      }
      statement.executeBatch();
    }
    return c.query("SELECT CAST(count(*) AS int), CAST(sum(n) AS int) FROM ticket").get(0);
  }

  Object transaction() throws Exception {
    Session c = open();
    String insert = "INSERT INTO books VALUES (?, ?)";
    c.begin();
    c.run(insert, 1, "kept");
    c.commit();
    c.begin();
    c.run(insert, 2, "lost");
    c.rollback();
    c.begin();
    c.run(insert, 3, "before");
    Savepoint here = c.connection.setSavepoint("here");
    c.run(insert, 4, "lost");
    c.connection.rollback(here);
    c.run(insert, 5, "after");
    c.commit();
    return column(c.query("SELECT title FROM books WHERE id > ? ORDER BY id", 0));
  }

  Object set() throws Exception {
    Session c = open();
    String place = "SELECT name FROM place WHERE name <> ?";
    Object before = null;
    for (int i = 0; i < REPETITIONS; i++) before = c.query(place, "").get(0);
    c.run("SET search_path = two");
    c.run("SET TIME ZONE 'Asia/Kolkata'");
    c.run("SET statement_timeout = '41s'");
    c.run("SET application_name = 'reader'");
    List<Object> after = new ArrayList<>();
    for (Object row :
        c.distinct(
            "SELECT current_setting('search_path'), current_setting('TimeZone'), current_setting('statement_timeout'), "
                + "current_setting('application_name')")) {
      List<Object> longer = new ArrayList<>((List<?>) row);
      longer.add(c.value(place, ""));
      after.add(longer);
    }
    return list(before, after);
  }

  Object setInTransaction() throws Exception {
    Session c = open();
    List<Object> answers = new ArrayList<>();
    c.begin();
    c.run("SET statement_timeout = '51s'");
    c.rollback();
    answers.add(c.setting("statement_timeout"));
    c.begin();
    c.run("SET statement_timeout = '52s'");
    c.commit();
    answers.add(c.setting("statement_timeout"));
    c.begin();
    c.run("SET statement_timeout = '53s'");
    Savepoint here = c.connection.setSavepoint();
    c.run("SET statement_timeout = '54s'");
    c.connection.rollback(here);
    c.commit();
    answers.add(c.setting("statement_timeout"));
    return answers;
  }

  Object setLocal() throws Exception {
    Session c = open();
    c.begin();
    c.run("SET LOCAL statement_timeout = '61s'");
    Object inside = c.value("SELECT current_setting('statement_timeout')");
    c.commit();
    Object after = c.setting("statement_timeout");
    c.query("SELECT set_config('timezone', ?, false)", "Asia/Tokyo");
    return list(inside, after, c.setting("TimeZone"));
  }

  Object reset() throws Exception {
    Session c = open(SHELF);
    List<Object> answers = new ArrayList<>();
    c.run("SET search_path = two");
    answers.add(c.setting("search_path"));
    c.run("RESET search_path");
    answers.add(c.setting("search_path"));
    c.run("SET statement_timeout = '71s'");
    c.run("RESET ALL");
    answers.add(c.setting("statement_timeout"));
    return answers;
  }

  Object role() throws Exception {
    Session c = open();
    String who = "SELECT CAST(current_user AS text)";
    c.run("SET ROLE reader");
    List<Object> answers = new ArrayList<>();
    for (Object row : c.distinct(who)) answers.addAll((List<?>) row);
    c.run("RESET ROLE");
    for (Object row : c.distinct(who)) answers.addAll((List<?>) row);
    return answers;
  }

  Object prepare() throws Exception {
    Session c = open();
    c.run("PREPARE plan (int) AS SELECT $1 * 3");
    List<Object> answers = new ArrayList<>();
    for (int i = 0; i < 3; i++) answers.add(c.value("EXECUTE plan (4)"));
    c.run("DEALLOCATE plan");
    answers.add(code(() -> c.value("EXECUTE plan (4)")));
    return answers;
  }

  Object temporaryTable() throws Exception {
    Session c = open(), other = open();
    String exists = "SELECT CAST(to_regclass('basket') AS text)";
    c.run("CREATE TEMPORARY TABLE basket (n int)");
    for (int n = 1; n <= 4; n++) c.run("INSERT INTO basket VALUES (?)", n);
    Object total = c.value("SELECT CAST(sum(n) AS int) FROM basket");
    Object seen = other.value(exists);
    c.run("DROP TABLE basket");
    return list(total, seen, c.value(exists));
  }

  Object advisoryLock() throws Exception {
    Session c = open(), other = open();
    List<Object> answers = new ArrayList<>();
    c.query("SELECT pg_advisory_lock(42)");
    for (int i = 0; i < 3; i++) {
      c.query("SELECT CAST(? AS int)", 1);
      answers.add(other.value("SELECT pg_try_advisory_lock(42)"));
    }
    answers.add(c.value("SELECT pg_advisory_unlock(42)"));
    answers.add(other.value("SELECT pg_try_advisory_lock(42)"));
    answers.add(other.value("SELECT pg_advisory_unlock(42)"));
    return answers;
  }

  /** With a fetch size the driver reads by portals. */
  Object cursor() throws Exception {
    Session c = open();
    c.begin();
    List<Object> numbers;
    try (PreparedStatement statement = c.connection.prepareStatement("SELECT n FROM generate_series(1, ?) AS n")) {
      statement.setFetchSize(100);
      statement.setInt(1, 1000);
      try (ResultSet rows = statement.executeQuery()) {
        numbers = column(Session.all(rows));
      }
    }
    c.commit();
    return list(numbers.size(), sum(numbers));
  }

  Object heldCursor() throws Exception {
    Session c = open();
    c.run("DECLARE pages CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 300) AS n");
    List<Object> pieces = new ArrayList<>();
    int total = 0;
    for (int i = 0; i < 3; i++) {
      List<Object> page = column(c.query("FETCH 100 FROM pages"));
      pieces.add(page.size());
      total += sum(page);
    }
    c.run("CLOSE pages");
    return list(pieces, total);
  }

  Object copyIn() throws Exception {
    Session c = open();
    StringBuilder lines = new StringBuilder();
    for (int i = 1; i <= 500; i++) lines.append(i).append("\ttitle ").append(i).append('\n');
    c.connection.unwrap(PGConnection.class).getCopyAPI().copyIn("COPY parcel (id, title) FROM STDIN", new StringReader(lines.toString()));
    return c.query("SELECT CAST(count(*) AS int), CAST(sum(id) AS int) FROM parcel").get(0);
  }

  Object copyOut() throws Exception {
    StringWriter text = new StringWriter();
    open().connection.unwrap(PGConnection.class).getCopyAPI()
        .copyOut("COPY (SELECT n, 'title ' || n FROM generate_series(1, 300) AS n) TO STDOUT", text);
    List<Object> numbers = new ArrayList<>();
    for (String line : text.toString().split("\n")) numbers.add(Integer.valueOf(line.split("\t")[0]));
    return list(numbers.size(), sum(numbers));
  }

  Object listen() throws Exception {
    Session c = open(), other = open();
    c.run("LISTEN news");
    c.run("NOTIFY news, 'own'");
    c.query("SELECT CAST(? AS int)", 1);
    other.begin();
    other.run("NOTIFY news, 'other 1'");
    other.query("SELECT pg_notify('news', 'other 2')");
    other.commit();
    List<Object> payloads = new ArrayList<>();
    long until = System.currentTimeMillis() + NOTIFY_PATIENCE;
    for (long left; payloads.size() < 3 && (left = until - System.currentTimeMillis()) > 0; ) collect(c, (int) left, payloads);
    c.run("UNLISTEN news");
    other.run("NOTIFY news, 'late'");
    c.query("SELECT CAST(? AS int)", 1);
    collect(c, 1, payloads);
    return payloads;
  }

  static void collect(Session c, int patience, List<Object> payloads) throws SQLException {
    PGNotification[] arrived = c.connection.unwrap(PGConnection.class).getNotifications(patience);
    if (arrived == null) return;
    for (PGNotification notification : arrived) payloads.add(notification.getParameter());
  }

  Object error() throws Exception {
    Session c = open();
    String divide = "SELECT 1 / CAST(? AS int)";
    List<Object> answers = new ArrayList<>();
    answers.add(code(() -> c.query(divide, 0)));
    answers.add(code(() -> c.run("INSERT INTO books VALUES (?, 'again')", 0)));
    c.begin();
    code(() -> c.query(divide, 0));
    answers.add(code(() -> c.query("SELECT 1")));
    c.rollback();
    answers.add(c.value("SELECT CAST(? AS int)", 7));
    return answers;
  }

  Object cancel() throws Exception {
    Session c = open(), other = open();
    ExecutorService thread = Executors.newSingleThreadExecutor();
    Statement sleeping = c.connection.createStatement();
    Future<String> ended = thread.submit(() -> code(() -> sleeping.execute("SELECT pg_sleep(10)")));
    String asleep = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())";
    while (!ended.isDone() && !(Boolean) other.value(asleep)) Thread.sleep(10);
    sleeping.cancel();
    String code = ended.get();
    thread.shutdown();
    return list(code, c.value("SELECT CAST(? AS int)", 1));
  }

  Object changedTable() throws Exception {
    Session c = open(), other = open();
    String read = "SELECT * FROM shelf WHERE id = ?";
    Object before = null;
    for (int i = 0; i < REPETITIONS; i++) before = c.columns(read, 1);
    other.run("ALTER TABLE shelf ADD COLUMN colour text DEFAULT 'red'");
    while (true) {
      try {
        c.columns(read, 1);
        break;
      } catch (SQLException error) {
        if (retries == 2) throw error;
        if (++retries == 2) c = open(); // what the driver has kept is of no use any more
      }
    }
    Object after = null;
    for (int i = 0; i < REPETITIONS; i++) after = c.columns(read, 1);
    return list(before, after);
  }

  Object close() throws Exception {
    Session c = open(), other = open();
    c.begin();
    c.run("INSERT INTO books VALUES (77, 'unfinished')");
    c.connection.close();
    Object left = other.value("SELECT CAST(count(*) AS int) FROM books WHERE id = 77");
    c = open();
    c.query("SELECT pg_advisory_lock(77)");
    c.connection.close();
    Object free = false;
    long until = System.currentTimeMillis() + NOTIFY_PATIENCE;
    while (free.equals(false) && System.currentTimeMillis() < until) free = other.value("SELECT pg_try_advisory_lock(77)");
    other.query("SELECT pg_advisory_unlock_all()");
    return list(left, free);
  }
}
