/*
 * settings.h
 *	  The extension's settings.
 */
#ifndef PO_SETTINGS_H
#define PO_SETTINGS_H

extern bool po_setting_allow_private_addresses;
extern char *po_setting_clock;
extern int	po_setting_function_timeout;
extern int	po_setting_keep_events;
extern int	po_setting_keep_messages;
extern int	po_setting_keep_payloads;
extern int	po_setting_keep_timers;
extern int	po_setting_lock_wait;
extern int	po_setting_max_databases;
extern int	po_setting_max_function_workers;
extern int	po_setting_max_sends;
extern int	po_setting_max_sends_per_host;
extern int	po_setting_max_workers;
extern bool po_setting_require_tenant;
extern char *po_setting_secret_key_file;

extern void po_define_settings(void);

#endif
