import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openPluggedInAuthority } from "./ca-files.ts";
import { type Certificate, certificateToPem } from "./certificate.ts";
import { issueRoot, issueSigner, issuerOf } from "./issue-certificate.ts";
import { createKeyPair, privateKeyToPem } from "./keys.ts";
import { isRevoked, revocationListsFromPem, verifiedRevocationLists } from "./revocation-list.ts";
import { NOW_MS, testCrl, testLeaf, testRoot } from "./test-certificates.ts";

const DAY_MS = 86_400_000;
const validity = { notBeforeMs: NOW_MS - DAY_MS, notAfterMs: NOW_MS + 365 * DAY_MS };

async function authority(
  name: string,
  issuer?: { readonly certificate: Certificate; readonly key: import("node:crypto").KeyObject },
) {
  const { privateKey: key, publicKey } = await createKeyPair("ECDSA_P256");
  const request = { organization: name, validity };
  const certificate =
    issuer === undefined
      ? issueRoot(key, request)
      : issueSigner(
          issuerOf(issuer.certificate, issuer.key),
          publicKey.export({ type: "spki", format: "der" }),
          request,
        );
  return { certificate, key };
}

const root = await authority("root");
const middle = await authority("middle", root);
const stranger = await authority("stranger");
const both = [middle.certificate, root.certificate];

const verify = (pem: string, authorities: readonly Certificate[] = both) =>
  verifiedRevocationLists(revocationListsFromPem(pem, "ca-crl.pem"), authorities, NOW_MS, "ca-crl.pem");

describe("revocation lists", () => {
  test("one of every CA: they are taken, and name what is revoked", async () => {
    const pem = testCrl(root, []) + testCrl(middle, ["0abc", "ff01"]);
    expect(verify(pem).match(/BEGIN X509 CRL/g)).toHaveLength(2);
    const [, second] = revocationListsFromPem(verify(pem), "lists");
    expect([...(second?.revoked ?? [])]).toEqual(["0abc", "ff01"]);
  });

  test("a certificate is revoked by its serial number and its issuer, not by one of them", async () => {
    const issuer = await testRoot();
    const { certificate } = await testLeaf(issuer);
    const list = (who: Certificate, serial: string) =>
      revocationListsFromPem(testCrl({ certificate: who, key: root.key }, [serial]), "lists");
    expect(isRevoked(certificate, list(issuer.certificate, certificate.serialNumber))).toBe(true);
    expect(isRevoked(certificate, list(root.certificate, certificate.serialNumber))).toBe(false);
    expect(isRevoked(certificate, list(issuer.certificate, "01"))).toBe(false);
  });

  test.each<[string, () => string, RegExp]>([
    ["a CA without a list", () => testCrl(root, []), /there is no list of certificate "O=middle"/],
    [
      "a list of a stranger",
      () => testCrl(root, []) + testCrl(middle, []) + testCrl(stranger, []),
      /"O=stranger" is signed by no CA/,
    ],
    [
      "a list that another key signed",
      () => testCrl(root, []) + testCrl({ certificate: middle.certificate, key: root.key }, []),
      /"O=middle" is signed by no CA/,
    ],
    ["a list that has ended", () => testCrl(root, [], { nextUpdateMs: NOW_MS - 1000 }), /ended at 2025-12-31T23:59:59/],
    ["a list of tomorrow", () => testCrl(root, [], { thisUpdateMs: NOW_MS + DAY_MS }), /is not valid yet/],
    ["no PEM", () => "hello", /no "-----BEGIN X509 CRL-----"/],
    [
      "half of a list",
      () => "-----BEGIN X509 CRL-----\nMAMC\n-----END X509 CRL-----",
      /no revocation list that can be used/,
    ],
  ])("%s is refused by name", (_, pem, message) => {
    expect(() => verify(pem())).toThrow(message);
    expect(() => verify(pem())).toThrow(/^ca-crl\.pem/);
  });

  test("any byte changed: refused, or the same list", () => {
    const der = Buffer.from(testCrl(root, ["01"]).replace(/-----[^-]+-----|\n/g, ""), "base64");
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const broken = Buffer.from(der);
        broken.writeUInt8(broken.readUInt8(at) ^ change, at);
        const pem = `-----BEGIN X509 CRL-----\n${broken.toString("base64")}\n-----END X509 CRL-----\n`;
        expect(() => verify(pem, [root.certificate])).toThrow(/crl/i);
      }),
    );
  });

  describe("ca-crl.pem", () => {
    let directory: string;
    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), "glassmesh-crl-"));
      const write = (name: string, text: string): void => writeFileSync(join(directory, name), text, { mode: 0o600 });
      write("ca-cert.pem", certificateToPem(middle.certificate));
      write("ca-key.pem", privateKeyToPem(middle.key));
      write("root-cert.pem", certificateToPem(root.certificate));
      write("cert-chain.pem", certificateToPem(middle.certificate) + certificateToPem(root.certificate));
    });
    afterEach(() => rmSync(directory, { recursive: true }));
    const open = () => openPluggedInAuthority(directory, NOW_MS).material.crl;
    const put = (text: string): void => writeFileSync(join(directory, "ca-crl.pem"), text);

    test("absent or empty nothing is revoked; there, it goes along with the CA", () => {
      expect(open()).toBeUndefined();
      put("\n");
      expect(open()).toBeUndefined();
      put(testCrl(root, []) + testCrl(middle, ["01"]));
      expect(open()).toMatch(/^-----BEGIN X509 CRL-----/);
      put(testCrl(middle, ["01"]));
      expect(open).toThrow(/ca-crl\.pem: there is no list of certificate "O=root"/);
    });
  });
});
