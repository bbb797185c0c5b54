/** `servers[].tls` of a Gateway: which certificates go with which mode. */
import { isCipherSuite } from "../model/cipher-suites.ts";
import { fieldsOf, listOf, stringOf, stringsOf, type Fields } from "../model/read-fields.ts";
import type { Findings } from "./findings.ts";

export function expectServerTls(findings: Findings, path: string, tls: Fields): void {
  const refuse = (key: string, message: string): void => findings.refuse(`${path}.${key}`, message);
  const has = (key: string): boolean => (stringOf(tls[key]) ?? "") !== "" || listOf(tls[key]).length > 0;
  const mode = stringOf(tls["mode"]) ?? "PASSTHROUGH";
  expectCiphers(findings, path, tls);
  const least = tls["minProtocolVersion"];
  if ((least === "TLSV1_0" || least === "TLSV1_1") && listOf(tls["cipherSuites"]).length === 0) {
    findings.warn(`${path}.minProtocolVersion`, "below TLS 1.2 no default cipher suite fits; name cipherSuites.");
  }
  if (has("caCrl") && has("credentialName")) refuse("caCrl", "is part of the Secret where credentialName names one.");
  else if (has("caCrl") && mode === "SIMPLE") refuse("caCrl", "SIMPLE asks clients for no certificates.");
  if (mode === "ISTIO_MUTUAL") {
    for (const key of ["serverCertificate", "privateKey", "caCertificates", "credentialName", "credentialNames"]) {
      if (has(key)) refuse(key, "ISTIO_MUTUAL uses the workload's own certificate; leave it out.");
    }
    return;
  }
  if (mode === "PASSTHROUGH" || mode === "AUTO_PASSTHROUGH") {
    for (const key of ["serverCertificate", "privateKey", "caCertificates", "credentialName", "credentialNames"]) {
      if (has(key)) findings.warn(`${path}.${key}`, `${mode} ends no TLS: it has no effect.`);
    }
    return;
  }
  const ways = [has("credentialName"), has("credentialNames"), has("tlsCertificates"), has("serverCertificate")];
  if (has("credentialName") && has("credentialNames"))
    refuse("credentialNames", "set credentialName or credentialNames, not both.");
  if (has("credentialName") || has("credentialNames")) {
    for (const key of ["serverCertificate", "privateKey", "caCertificates", "tlsCertificates"]) {
      if (has(key)) findings.warn(`${path}.${key}`, "beside credentialName it has no effect: the Secret holds it.");
    }
    const names = stringsOf(tls["credentialNames"]);
    if (has("credentialNames") && (names.length > 2 || new Set(names).size < names.length))
      refuse("credentialNames", "one RSA and one ECDSA certificate at most, each once.");
    return;
  }
  if (has("tlsCertificates") && has("serverCertificate"))
    refuse("tlsCertificates", "set tlsCertificates or serverCertificate and privateKey, not both.");
  if (listOf(tls["tlsCertificates"]).length > 2) {
    findings.warn(`${path}.tlsCertificates`, "two certificates at most count, one RSA and one ECDSA.");
  }
  const pairs = has("tlsCertificates") ? listOf(tls["tlsCertificates"]).map(fieldsOf) : [tls];
  if (!ways.includes(true))
    refuse("credentialName", `${mode} needs a certificate: name a Secret, or files of the gateway.`);
  for (const [index, pair] of pairs.entries()) {
    const at = has("tlsCertificates") ? `tlsCertificates[${index}].` : "";
    for (const key of ["serverCertificate", "privateKey"]) {
      if (ways.includes(true) && (stringOf(pair[key]) ?? "") === "")
        refuse(`${at}${key}`, `${mode} needs a ${key === "privateKey" ? "private key" : "server certificate"}.`);
    }
  }
  if (mode !== "SIMPLE" && !has("caCertificates"))
    refuse("caCertificates", `${mode} needs the CA that clients' certificates come from.`);
}

/** What istiod drops, since Envoy would refuse it. */
function expectCiphers(findings: Findings, path: string, tls: Fields): void {
  const seen = new Set<string>();
  for (const [index, suite] of stringsOf(tls["cipherSuites"]).entries()) {
    const at = `${path}.cipherSuites[${index}]`;
    if (!isCipherSuite(suite))
      findings.warn(at, `${JSON.stringify(suite)} is no cipher suite of Envoy's, and is left out.`);
    if (seen.has(suite)) findings.warn(at, `${suite} stands here twice.`);
    seen.add(suite);
  }
}
