/**
 * A key and its certificates as PKCS#12 (RFC 7292), for programs that take nothing else. node-forge writes such a file by
 * itself only where everything is RSA, and writes certificates anew as it understood them; here the CA's own bytes go in.
 */
import { createHmac, randomBytes } from "node:crypto";
import forge from "node-forge";
import { certificatesFromPem } from "#certs/certificate.ts";
import {
  constructedContextTag,
  der,
  octetString,
  oid,
  sequence,
  smallInteger,
  Tag,
  unsignedInteger,
} from "#certs/der.ts";
import type { Obtained } from "./obtain.ts";

const DATA = "1.2.840.113549.1.7.1";
const CERTIFICATE_BAG = "1.2.840.113549.1.12.10.1.3";
const KEY_BAG = "1.2.840.113549.1.12.10.1.2";
const X509_CERTIFICATE = "1.2.840.113549.1.9.22.1";
const LOCAL_KEY_ID = "1.2.840.113549.1.9.21";
const SHA256 = "2.16.840.1.101.3.4.2.1";
const MAC_ITERATIONS = 10_000;
const MAC_KEY_ID = 3;

/** The key encrypted by AES-256 (PBES2), the whole under an HMAC with SHA-256; DER. */
export function toPkcs12(
  { keys, certificateChain, trustBundle }: Pick<Obtained, "keys" | "certificateChain" | "trustBundle">,
  password: string,
): Buffer {
  const certificates = certificatesFromPem(certificateChain + trustBundle, "the certificate");
  const keyId = Buffer.from(certificates[0]?.sha256 ?? "", "hex");
  const mark = der(Tag.set, sequence(oid(LOCAL_KEY_ID), der(Tag.set, octetString(keyId))));
  const key = keys.privateKey.export({ type: "pkcs8", format: "der", cipher: "aes-256-cbc", passphrase: password });
  const bags = [
    ...certificates.map((certificate, index) =>
      bag(
        CERTIFICATE_BAG,
        sequence(oid(X509_CERTIFICATE), der(constructedContextTag(0), octetString(certificate.der))),
        ...(index === 0 ? [mark] : []),
      ),
    ),
    bag(KEY_BAG, key, mark),
  ];
  const safe = sequence(content(sequence(...bags)));
  return sequence(smallInteger(3), content(safe), macOf(safe, password));
}

function bag(type: string, value: Uint8Array, ...attributes: readonly Uint8Array[]): Buffer {
  return sequence(oid(type), der(constructedContextTag(0), value), ...attributes);
}

function content(value: Uint8Array): Buffer {
  return sequence(oid(DATA), der(constructedContextTag(0), octetString(value)));
}

function macOf(safe: Uint8Array, password: string): Buffer {
  const salt = randomBytes(16);
  const derived = forge.pkcs12.generateKey(
    password,
    forge.util.createBuffer(salt.toString("binary")),
    MAC_KEY_ID,
    MAC_ITERATIONS,
    32,
    forge.md.sha256.create(),
  );
  const mac = createHmac("sha256", Buffer.from(derived.getBytes(), "binary")).update(safe).digest();
  const iterations = Buffer.alloc(2);
  iterations.writeUInt16BE(MAC_ITERATIONS);
  const digest = sequence(sequence(oid(SHA256), der(0x05)), octetString(mac));
  return sequence(digest, octetString(salt), unsignedInteger(iterations));
}
