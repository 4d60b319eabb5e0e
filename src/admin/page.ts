/** The page of the admin server: one file that needs no other, and the policy by which a browser holds it to that. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { packageFile } from '../package-files.js';

export interface Page {
  readonly html: Buffer;
  /** The Content-Security-Policy under which only its own style and script run, and only this server is asked. */
  readonly policy: string;
}

/** Read once, at the start: the package's files may be replaced while the primary runs. */
export function readPage(): Page {
  const html = readFileSync(packageFile('src/admin/page.html'));
  const text = html.toString();
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(text, 'script')}`,
    `style-src ${hashOf(text, 'style')}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return { html, policy };
}

/** Of the one such element, as a source in the policy. */
function hashOf(html: string, element: 'script' | 'style'): string {
  const content = new RegExp(`<${element}>([\\s\\S]*?)</${element}>`).exec(html)?.[1] as string;
  return `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
}
