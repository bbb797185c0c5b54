/** Certificate signing requests (PKCS#10, RFC 2986): what a workload sends, and how the CA reads it. */
import type { KeyObject } from "node:crypto";
import { MeshError } from "#lib/problem.ts";
import { publicKeyFromDer } from "./certificate.ts";
import {
  bitString,
  constructedContextTag,
  der,
  DerError,
  DerReader,
  oid,
  oidText,
  readSingle,
  sequence,
  smallInteger,
  Tag,
  wholeBytesOf,
} from "./der.ts";
import { EMPTY_NAME, nameText } from "./distinguished-name.ts";
import { ExtensionOid, parseExtensions, parseSubjectAltName, subjectAltName } from "./extensions.ts";
import { describeKey, type KeyPair } from "./keys.ts";
import { decodePem, encodePem } from "./pem.ts";
import { isSignedBy, parseSignatureAlgorithm, signatureAlgorithmFor, signWith } from "./signature.ts";

const EXTENSION_REQUEST = "1.2.840.113549.1.9.14";

/** A CSR (PEM) over this key that asks for a URI SAN. */
export function createCsr(keys: KeyPair, uri: string): string {
  const names = subjectAltName({ uris: [uri] }, true);
  const attribute = sequence(oid(EXTENSION_REQUEST), der(Tag.set, sequence(names)));
  const publicKey = keys.publicKey.export({ type: "spki", format: "der" });
  const info = sequence(smallInteger(0), EMPTY_NAME, publicKey, der(constructedContextTag(0), attribute));
  const algorithm = signatureAlgorithmFor(keys.privateKey);
  return encodePem(
    "CERTIFICATE REQUEST",
    sequence(info, algorithm.identifier, bitString(signWith(keys.privateKey, algorithm, info))),
  );
}

/** A CSR whose signature proved possession of the key. What it asks for is only a wish. */
export interface Csr {
  readonly publicKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Buffer;
  /** RFC 2253. */
  readonly subjectText: string;
  readonly requestedUris: readonly string[];
  readonly requestedDnsNames: readonly string[];
}

/** Reads a CSR and verifies its signature. Throws `csr-invalid`, `csr-signature-invalid`, `csr-key-unsupported`. */
export function parseCsr(pem: string): Csr {
  const [block, ...more] = decodePem(pem, "CSR");
  if (block === undefined || more.length > 0 || !/^(NEW )?CERTIFICATE REQUEST$/.test(block.label)) {
    throw new MeshError("csr-invalid", 'The CSR must be one PEM block "CERTIFICATE REQUEST" and nothing else.');
  }
  try {
    return parse(block.der);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new MeshError("csr-invalid", `The CSR cannot be read: ${error.message}.`);
  }
}

function parse(bytes: Buffer): Csr {
  const outer = readSingle(bytes);
  const info = outer.read(Tag.sequence);
  const algorithm = outer.read(Tag.sequence).bytes;
  const signature = wholeBytesOf(outer.read(Tag.bitString));
  outer.end();

  const reader = new DerReader(info.content);
  if (!reader.read(Tag.integer).content.equals(Buffer.of(0))) throw new DerError("its version is not 1");
  const subject = reader.read(Tag.sequence).bytes;
  const publicKeyDer = reader.read(Tag.sequence).bytes;
  const attributes = reader.enter(constructedContextTag(0));
  reader.end();

  const publicKey = publicKeyFromDer(publicKeyDer);
  checkKey(publicKey);
  if (!isSignedBy(publicKey, parseSignatureAlgorithm(algorithm), info.bytes, signature)) {
    throw new MeshError(
      "csr-signature-invalid",
      "The signature of the CSR is not by the key in it. Make the CSR with the private key that belongs to it.",
    );
  }
  return { publicKey, publicKeyDer, subjectText: nameText(subject), ...requestedNames(attributes) };
}

/** P-256, or RSA of 2048 to 4096 bits. */
function checkKey(key: KeyObject): void {
  const name = describeKey(key);
  const bits = key.asymmetricKeyType === "rsa" ? (key.asymmetricKeyDetails?.modulusLength ?? 0) : 0;
  if (name === "EC P-256" || (bits >= 2048 && bits <= 4096)) return;
  throw new MeshError(
    "csr-key-unsupported",
    `The CSR holds a key of type ${name}; accepted are EC P-256 and RSA with 2048 to 4096 bits.`,
  );
}

function requestedNames(attributes: DerReader): Pick<Csr, "requestedUris" | "requestedDnsNames"> {
  while (!attributes.isAtEnd) {
    const attribute = attributes.enter();
    const isRequest = oidText(attribute.read(Tag.oid).content) === EXTENSION_REQUEST;
    const values = attribute.enter(Tag.set);
    attribute.end();
    if (!isRequest) continue;
    const names = parseExtensions(values.enter()).find(({ oid: dotted }) => dotted === ExtensionOid.subjectAltName);
    values.end();
    if (names === undefined) continue;
    const { uris, dnsNames } = parseSubjectAltName(names.value);
    return { requestedUris: uris, requestedDnsNames: dnsNames };
  }
  return { requestedUris: [], requestedDnsNames: [] };
}
