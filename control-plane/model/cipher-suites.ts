/** The cipher suites that a Gateway may name. */

/** What istiod takes for `cipherSuites`; Envoy would refuse the whole listener for a name that it does not know. */
const CIPHER_SUITES: ReadonlySet<string> = new Set([
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-ECDSA-AES128-SHA",
  "ECDHE-RSA-AES128-SHA",
  "ECDHE-ECDSA-AES256-SHA",
  "ECDHE-RSA-AES256-SHA",
  "AES128-GCM-SHA256",
  "AES256-GCM-SHA384",
  "AES128-SHA",
  "AES256-SHA",
  "DES-CBC3-SHA",
]);

/** Besides names of suites `ALL`, and operators as `-` and `+` before them, are let through. */
export function isCipherSuite(text: string): boolean {
  return text === "" || text === "ALL" || !/^[\p{L}\p{N}]/u.test(text) || CIPHER_SUITES.has(text);
}
