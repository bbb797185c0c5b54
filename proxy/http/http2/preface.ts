/** The connection preface of HTTP/2 (RFC 9113 §3.4), by which it is told from HTTP/1.1 on one port. */
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

export function isHttp2Preface(bytes: Buffer): "yes" | "no" | "maybe" {
  const start = bytes.toString("latin1", 0, preface.length);
  if (start === preface) return "yes";
  return preface.startsWith(start) ? "maybe" : "no";
}
