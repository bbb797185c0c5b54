/**
 * `node:http2` and the numbers of RFC 9113. The module is loaded by the first HTTP/2 connection: it costs 12 MB, which a
 * proxy that speaks HTTP/1.1 only need not have.
 */

/** The module itself. */
export function http2(): typeof import("node:http2") {
  return process.getBuiltinModule("node:http2");
}

/** Error codes (RFC 9113, section 7). */
export const ErrorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  refusedStream: 0x7,
  cancel: 0x8,
} as const;

/** A flag of DATA and HEADERS frames. */
export const END_STREAM = 0x1;
