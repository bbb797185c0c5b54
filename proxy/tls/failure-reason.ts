/** What went wrong in a handshake, in Envoy's words (`transport failure reason`). */
import type { CertificateNames } from "./san-matcher.ts";

/** Names and numbers of the TLS library that Envoy uses: 0x10000000 is its SSL part, then the reason. */
const SSL_LIBRARY = 0x1000_0000;

/** OpenSSL's code → number and name there. */
const REASONS: Readonly<Record<string, readonly [number, string]>> = {
  ERR_SSL_WRONG_VERSION_NUMBER: [247, "WRONG_VERSION_NUMBER"],
  ERR_SSL_PACKET_LENGTH_TOO_LONG: [247, "WRONG_VERSION_NUMBER"],
  ERR_SSL_HTTP_REQUEST: [156, "HTTP_REQUEST"],
  ERR_SSL_NO_SHARED_CIPHER: [178, "NO_SHARED_CIPHER"],
  ERR_SSL_UNSUPPORTED_PROTOCOL: [240, "UNSUPPORTED_PROTOCOL"],
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: [
    192,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE:peer did not provide required client certificate",
  ],
  ERR_SSL_UNEXPECTED_MESSAGE: [223, "UNEXPECTED_MESSAGE"],
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: [253, "NO_COMMON_SIGNATURE_ALGORITHMS"],
};

/** Alerts of a peer (RFC 8446 §6) → names there; their numbers are 1000 and the alert's. */
const ALERTS: Readonly<Record<number, string>> = {
  10: "SSLV3_ALERT_UNEXPECTED_MESSAGE",
  20: "SSLV3_ALERT_BAD_RECORD_MAC",
  22: "TLSV1_ALERT_RECORD_OVERFLOW",
  40: "SSLV3_ALERT_HANDSHAKE_FAILURE",
  42: "SSLV3_ALERT_BAD_CERTIFICATE",
  43: "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
  44: "SSLV3_ALERT_CERTIFICATE_REVOKED",
  45: "SSLV3_ALERT_CERTIFICATE_EXPIRED",
  46: "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
  47: "SSLV3_ALERT_ILLEGAL_PARAMETER",
  48: "TLSV1_ALERT_UNKNOWN_CA",
  49: "TLSV1_ALERT_ACCESS_DENIED",
  50: "TLSV1_ALERT_DECODE_ERROR",
  51: "TLSV1_ALERT_DECRYPT_ERROR",
  70: "TLSV1_ALERT_PROTOCOL_VERSION",
  71: "TLSV1_ALERT_INSUFFICIENT_SECURITY",
  80: "TLSV1_ALERT_INTERNAL_ERROR",
  86: "TLSV1_ALERT_INAPPROPRIATE_FALLBACK",
  90: "TLSV1_ALERT_USER_CANCELLED",
  110: "TLSV1_ALERT_UNSUPPORTED_EXTENSION",
  112: "TLSV1_ALERT_UNRECOGNIZED_NAME",
  116: "TLSV1_ALERT_CERTIFICATE_REQUIRED",
  120: "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
};

/** Codes of OpenSSL's chain verification → its text, as Envoy prints it. */
const CHAIN_ERRORS: Readonly<Record<string, string>> = {
  UNABLE_TO_GET_ISSUER_CERT: "unable to get issuer certificate",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unable to get local issuer certificate",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unable to get local issuer certificate",
  DEPTH_ZERO_SELF_SIGNED_CERT: "self signed certificate",
  SELF_SIGNED_CERT_IN_CHAIN: "self signed certificate in certificate chain",
  CERT_HAS_EXPIRED: "certificate has expired",
  CERT_NOT_YET_VALID: "certificate is not yet valid",
  CERT_REVOKED: "certificate revoked",
  UNABLE_TO_GET_CRL: "unable to get certificate CRL",
  CRL_HAS_EXPIRED: "CRL has expired",
  CERT_SIGNATURE_FAILURE: "certificate signature failure",
  INVALID_CA: "invalid CA certificate",
  INVALID_PURPOSE: "unsuitable certificate purpose",
  PATH_LENGTH_EXCEEDED: "path length constraint exceeded",
  CERT_CHAIN_TOO_LONG: "certificate chain too long",
  CERT_UNTRUSTED: "certificate not trusted",
  CERT_REJECTED: "certificate rejected",
};

export const SECRET_NOT_READY = "TLS error: Secret is not supplied by SDS";

/**
 * What ended a handshake: `TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end`.
 * "" when the peer just left.
 */
export function tlsReason(error: NodeJS.ErrnoException): string {
  const { code = "" } = error;
  const chain = CHAIN_ERRORS[code];
  if (chain !== undefined) return chainReason(chain);
  const known = REASONS[code];
  if (known !== undefined) return libraryReason(known[0], known[1]);
  const alert = Number(/SSL alert number (\d+)/.exec(error.message)?.[1] ?? Number.NaN);
  if (!Number.isNaN(alert)) return libraryReason(1000 + alert, ALERTS[alert] ?? `UNKNOWN_ALERT_${alert}`);
  if (code.startsWith("ERR_SSL_")) return `TLS_error:|${code.slice("ERR_SSL_".length)}:TLS_error_end`;
  // Node says so as well when the peer ended in the middle of the handshake; only a reset has a system call in it.
  if (code === "ECONNRESET") return error.syscall === undefined ? "" : RESET_REASON;
  return transportReason(error);
}

/** The library's number for a system error is its system part and errno. */
const RESET_REASON = "TLS_error:|33554536:system library:OPENSSL_internal:Connection reset by peer:TLS_error_end";

/** The names of the certificate are not those that are asked for. */
export function sanReason(names: CertificateNames): string {
  const all = [...names.uri, ...names.dns, ...names.email, ...names.ip].join(", ");
  // A stranger's certificate says what it likes: only printable text goes into a log.
  const printable = all.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 1000);
  return verifyReason(`SAN matcher, certificate SANs are [${printable}]`);
}

/** The chain was not accepted; `text` is OpenSSL's. */
export function chainReason(text: string): string {
  return verifyReason(`X509_verify_cert: certificate verification error at depth 0: ${text}`);
}

/** Our own tests on the certificate failed: `cert hash and spki`. */
export function verifyReason(what: string): string {
  return libraryReason(125, `CERTIFICATE_VERIFY_FAILED:verify cert failed: ${what}`);
}

/** True when the chain was what failed. */
export function isChainError(code: string | undefined): boolean {
  return code !== undefined && CHAIN_ERRORS[code] !== undefined;
}

function libraryReason(reason: number, text: string): string {
  return `TLS_error:|${SSL_LIBRARY + reason}:SSL routines:OPENSSL_internal:${text}:TLS_error_end`;
}

const SYSTEM: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Connection refused",
  ECONNRESET: "Connection reset by peer",
  ETIMEDOUT: "Connection timed out",
  EHOSTUNREACH: "No route to host",
  ENETUNREACH: "Network is unreachable",
  EADDRNOTAVAIL: "Cannot assign requested address",
  ENOENT: "No such file or directory",
  EACCES: "Permission denied",
};

/** A failure to connect: `delayed connect error: Connection refused`. "" when there is nothing to say. */
export function transportReason(error: NodeJS.ErrnoException | undefined): string {
  if (error === undefined) return "";
  const text = error.code === undefined ? undefined : SYSTEM[error.code];
  return text === undefined ? error.message : `delayed connect error: ${text}`;
}
