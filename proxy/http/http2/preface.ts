/** The connection preface of HTTP/2 (RFC 9113 §3.4), by which it is told from HTTP/1.1 on one port. */

export const prefaceText = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

export function isHttp2Preface(bytes: Buffer): "yes" | "no" | "maybe" {
  const start = bytes.toString("latin1", 0, prefaceText.length);
  if (start === prefaceText) return "yes";
  return prefaceText.startsWith(start) ? "maybe" : "no";
}

/** Takes the preface off the beginning of a connection, however it is split. */
export class PrefaceReader {
  isDone = false;
  #seen = "";

  /** What follows the preface in this chunk; undefined: it is another protocol. */
  read(chunk: Buffer): Buffer | undefined {
    const missing = prefaceText.length - this.#seen.length;
    this.#seen += chunk.toString("latin1", 0, missing);
    if (!prefaceText.startsWith(this.#seen)) return undefined;
    this.isDone = this.#seen.length === prefaceText.length;
    return chunk.subarray(Math.min(missing, chunk.length));
  }
}
