/** Hex; the same as long as no source of the programs has changed. */
export declare function sourceFingerprint(root: string): string;
