import java.sql.*;

/** Prints what JDBC reads from the console: the totals by name, a line for each way of asking. */
public class Console {
  static void tell(String how, ResultSet rows) throws SQLException {
    int n = 0;
    long transactions = -1;
    while (rows.next()) {
      n++;
      if (rows.getString("name").equals("total_xact_count")) transactions = rows.getBigDecimal("value").longValueExact();
    }
    System.out.println(how + " " + n + " " + rows.getMetaData().getColumnTypeName(2) + " " + (transactions >= 0));
  }

  public static void main(String[] arguments) throws Exception {
    try (Connection c = DriverManager.getConnection(arguments[0], arguments[1], arguments[2])) {
      try (Statement s = c.createStatement()) {
        tell("jdbc", s.executeQuery("SHOW TOTALS"));
        s.setFetchSize(5);
        tell("jdbc-fetch", s.executeQuery("SHOW TOTALS"));
        s.execute("SET default_pool_size = 4");
      }
      try (PreparedStatement s = c.prepareStatement("SHOW TOTALS")) {
        for (int i = 0; i < 7; i++) s.executeQuery(); // it is prepared under a name after five
        tell("jdbc-prepared", s.executeQuery());
      }
      System.out.println("jdbc-valid " + c.isValid(5));
    }
  }
}
