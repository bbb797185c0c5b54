/** `CertificateValidationContext` → what a peer's certificate has to satisfy. */
import type { MessageReader } from "#protos/reader.ts";
import type { CertificateValidationContext } from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js";
import { RegexCache } from "../router/regex.ts";
import { parseDataSource, type TextSource } from "./data-source.ts";
import { parseSanMatcher, parseTypedSanMatcher } from "./san-matcher.ts";
import { parseSpiffeValidator } from "./spiffe-validator.ts";
import type { TrustDomains } from "./trust-domains.ts";
import type { SanMatcher, ValidationRules } from "./types.ts";

/** A validation context before its files are read and a secret is merged in. */
export interface ValidationContext {
  readonly trustedCa: TextSource | "system" | undefined;
  readonly crl: TextSource | undefined;
  readonly rules: ValidationRules;
  /** Roots by trust domain; then `trustedCa` is all of them. */
  readonly trustDomains?: TrustDomains | undefined;
}

/** Reads a validation context. Problems go to the reader's list. */
export function parseValidationContext(reader: MessageReader<CertificateValidationContext>): ValidationContext {
  const regexes = new RegexCache();
  const before = reader.problems.length;
  const trustedCa = parseDataSource(reader.child("trustedCa"));
  const usesSystem = reader.child("systemRootCerts");
  usesSystem?.finish();
  const custom = reader.child("customValidatorConfig");
  const trustDomains = custom === undefined ? undefined : parseSpiffeValidator(custom);
  const crl = parseDataSource(reader.child("crl"));
  reader.ignore("watchedDirectory", "files are watched by their content wherever they are");
  const sanMatchers = [
    ...reader.children("matchTypedSubjectAltNames").map((child) => parseTypedSanMatcher(child, regexes)),
    ...reader.children("matchSubjectAltNames").map((child) => parseSanMatcher(child, regexes)),
  ].filter((matcher): matcher is SanMatcher => matcher !== undefined);
  const rules: ValidationRules = {
    certificateHashes: certificateHashes(reader),
    spkiHashes: spkiHashes(reader),
    sanMatchers,
    acceptUntrusted: reader.get("trustChainVerification") === 1,
  };
  refuseWhenTrue(reader, "allowExpiredCertificate", "certificates are always checked for expiry; remove it");
  refuseWhenTrue(reader, "onlyVerifyLeafCertCrl", "revocation is checked for the whole chain; remove it");
  refuseWhenTrue(reader, "suppressClientCaList", "the list of accepted authorities is always sent; remove it");
  if (reader.get("requireSignedCertificateTimestamp") === true) reader.unsupported("requireSignedCertificateTimestamp");
  reader.finish();
  if (reader.problems.length === before && trustedCa !== undefined && usesSystem !== undefined)
    reader.invalid("systemRootCerts", "trusted_ca and system_root_certs cannot both be set");
  // As in Envoy the validator's roots stand in the place of trusted_ca.
  if (trustDomains !== undefined) {
    const text = [...trustDomains.values()].join("\n");
    return { trustedCa: { kind: "inline", text }, crl, rules, trustDomains };
  }
  return { trustedCa: usesSystem === undefined ? trustedCa : "system", crl, rules };
}

/** As a secret is merged into `default_validation_context`: single values are replaced, lists are joined. */
export function mergeRules(base: ValidationRules, more: ValidationRules | undefined): ValidationRules {
  if (more === undefined) return base;
  return {
    certificateHashes: [...base.certificateHashes, ...more.certificateHashes],
    spkiHashes: [...base.spkiHashes, ...more.spkiHashes],
    sanMatchers: [...base.sanMatchers, ...more.sanMatchers],
    acceptUntrusted: base.acceptUntrusted || more.acceptUntrusted,
  };
}

export const NO_RULES: ValidationRules = {
  certificateHashes: [],
  spkiHashes: [],
  sanMatchers: [],
  acceptUntrusted: false,
};

function certificateHashes(reader: MessageReader<CertificateValidationContext>): string[] {
  return reader.get("verifyCertificateHash").map((text) => {
    const hex = text.replaceAll(":", "").toLowerCase();
    if (!/^[0-9a-f]{64}$/.test(hex)) reader.invalid("verifyCertificateHash", `Invalid hex-encoded SHA-256 ${text}`);
    return hex;
  });
}

function spkiHashes(reader: MessageReader<CertificateValidationContext>): string[] {
  return reader.get("verifyCertificateSpki").map((text) => {
    if (Buffer.from(text, "base64").length !== 32)
      reader.invalid("verifyCertificateSpki", `Invalid base64-encoded SHA-256 ${text}`);
    return text;
  });
}

function refuseWhenTrue(
  reader: MessageReader<CertificateValidationContext>,
  field: "allowExpiredCertificate" | "onlyVerifyLeafCertCrl" | "suppressClientCaList",
  why: string,
): void {
  if (reader.get(field)) reader.unsupported(field, why);
}
