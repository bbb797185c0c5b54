/** A certificate authority whose files may change: what verifies is taken, step by step, so that nobody is ever met by a root that they do not know. */
import type { Clock, Timer } from "#lib/runtime.ts";
import {
  type AuthorityOptions,
  type CertificateAuthority,
  createCertificateAuthority,
  type SigningMaterial,
} from "./certificate-authority.ts";
import { distinct } from "./trust-bundle.ts";

export interface FollowedAuthorityOptions extends Omit<AuthorityOptions, "material" | "clock"> {
  readonly clock: Clock;
  readonly material: SigningMaterial;
  /** How long workloads have to learn new roots, and then to get certificates of the new signer (15 s). */
  readonly overlapMs?: number | undefined;
  /** Another signer, or other roots, are in force from now on. */
  readonly onChange: (authority: CertificateAuthority) => void;
}

export interface FollowedAuthority {
  /** Asked at every use: it changes. */
  readonly current: CertificateAuthority;
  /** Material that has been verified replaces what there is. */
  replace(material: SigningMaterial): void;
  close(): void;
}

const OVERLAP_MS = 15_000;

/**
 * A change of roots goes in up to three steps, `overlapMs` apart: old and new roots are trusted while the old signer signs;
 * then the new signer signs; then roots that the files do not have any more are dropped. A step that is not needed is left out.
 */
export function followAuthority(options: FollowedAuthorityOptions): FollowedAuthority {
  const { clock, overlapMs = OVERLAP_MS, onChange, ...rest } = options;
  let { material } = options;
  let current = createCertificateAuthority({ ...rest, clock, material });
  let timer: Timer | undefined;

  function take(steps: readonly SigningMaterial[]): void {
    timer?.cancel();
    const [next, ...later] = steps;
    if (next === undefined) return;
    if (!isSame(next, material)) {
      material = next;
      current = createCertificateAuthority({ ...rest, clock, material });
      onChange(current);
    }
    if (later.length > 0) timer = clock.setTimer(overlapMs, () => take(later));
  }

  return {
    get current() {
      return current;
    },
    replace: (next) => take(stepsTo(next, { material, canSign: current.expiresAtMs > clock.now() + overlapMs })),
    close: () => timer?.cancel(),
  };
}

/** What is in force one after the other; the last is `next` itself. */
function stepsTo(
  next: SigningMaterial,
  now: { readonly material: SigningMaterial; readonly canSign: boolean },
): readonly SigningMaterial[] {
  const old = now.material;
  const holds = (roots: SigningMaterial["roots"], wanted: SigningMaterial["roots"][number] | undefined): boolean =>
    roots.some(({ sha256 }) => sha256 === wanted?.sha256);
  // Who enforces lists refuses a chain that has a CA without one: chains of both signers need the lists of both.
  const crl = old.crl === undefined || next.crl === undefined ? undefined : next.crl + old.crl;
  const isOtherSigner = old.certificate.sha256 !== next.certificate.sha256;
  const steps: SigningMaterial[] = [];
  if (!holds(old.roots, next.roots[0]) && now.canSign)
    steps.push({ ...old, roots: distinct([...old.roots, ...next.roots]), crl });
  if (old.roots.some((root) => !holds(next.roots, root)) || (isOtherSigner && next.crl !== undefined))
    steps.push({ ...next, roots: distinct([...next.roots, ...old.roots]), crl });
  return [...steps, next];
}

function isSame(one: SigningMaterial, other: SigningMaterial): boolean {
  const marks = ({ certificate, intermediates, roots, crl = "" }: SigningMaterial): string =>
    [certificate, ...intermediates, undefined, ...roots].map((each) => each?.sha256 ?? "|").join(" ") + crl;
  return marks(one) === marks(other);
}
