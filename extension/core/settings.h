/*
 * settings.h
 *	  The extension's settings.
 */
#ifndef PO_SETTINGS_H
#define PO_SETTINGS_H

extern char *po_setting_clock;
extern char *po_setting_secret_key_file;
extern char *po_setting_tenant_id;

extern void po_define_settings(void);

#endif
