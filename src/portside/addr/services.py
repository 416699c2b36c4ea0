"""Names of services: which one is registered for a port, and which port for a name.

The names are those of the IANA registry (RFC 6335); where /etc/services commonly says otherwise that name is
an alias, so that either is understood. The table is a selection: what servers, tools and captures meet in
practice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

# port / protocols   name   aliases   # title. Of several ports with one name, the one that the name stands
# for is first.
_TABLE: Final = """
8080/tcp,udp         http-alt     webcache http-proxy  # World wide web, another port
1/tcp,udp            tcpmux                            # TCP port service multiplexer
5/tcp,udp            rje                               # Remote job entry
7/tcp,udp            echo                              # Echo
9/tcp,udp            discard      sink null            # Discard
11/tcp,udp           systat       users                # Active users
13/tcp,udp           daytime                           # Daytime
15/tcp               netstat                           # Network status (was; no longer assigned)
17/tcp,udp           qotd         quote                # Quote of the day
18/tcp,udp           msp                               # Message send protocol
19/tcp,udp           chargen      ttytst source        # Character generator
20/tcp,udp           ftp-data                          # File transfer, data
21/tcp,udp           ftp                               # File transfer, control
22/tcp,udp           ssh                               # Secure shell
23/tcp,udp           telnet                            # Telnet
25/tcp,udp           smtp         mail                 # Simple mail transfer
37/tcp,udp           time         timserver            # Time
38/tcp,udp           rap                               # Route access protocol
39/tcp,udp           rlp          resource             # Resource location
42/tcp,udp           nameserver   name                 # Host name server
43/tcp,udp           nicname      whois                # Who is
49/tcp,udp           tacacs                            # Login host protocol (TACACS)
50/tcp,udp           re-mail-ck                        # Remote mail checking
53/tcp,udp           domain       dns                  # Domain name system
63/tcp,udp           whoispp      whois++              # Whois++
67/tcp,udp           bootps       dhcp dhcps           # DHCP and BOOTP server
68/tcp,udp           bootpc       dhcpc                # DHCP and BOOTP client
69/tcp,udp           tftp                              # Trivial file transfer
70/tcp,udp           gopher                            # Gopher
79/tcp,udp           finger                            # Finger
80/tcp,udp,sctp      http         www www-http         # World wide web
88/tcp,udp           kerberos     kerberos5 krb5 kerberos-sec  # Kerberos
95/tcp,udp           supdup                            # Supdup
101/tcp,udp          hostname     hostnames            # NIC host name server
102/tcp,udp          iso-tsap     tsap                 # ISO transport over TCP, S7
104/tcp,udp          acr-nema                          # Digital imaging (DICOM)
105/tcp,udp          csnet-ns     cso-ns               # Mailbox name server
107/tcp,udp          rtelnet                           # Remote telnet
109/tcp,udp          pop2         postoffice pop-2     # Post office protocol 2
110/tcp,udp          pop3         pop-3                # Post office protocol 3
111/tcp,udp          sunrpc       portmapper rpcbind   # SUN remote procedure call
113/tcp,udp          auth         authentication tap ident  # Identification
115/tcp,udp          sftp                              # Simple file transfer (not SSH's)
117/tcp,udp          uucp-path                         # UUCP path service
119/tcp,udp          nntp         readnews untp        # Network news transfer
123/tcp,udp          ntp                               # Network time
135/tcp,udp          epmap        loc-srv msrpc        # DCE endpoint resolution
137/tcp,udp          netbios-ns                        # NetBIOS name service
138/tcp,udp          netbios-dgm                       # NetBIOS datagram service
139/tcp,udp          netbios-ssn                       # NetBIOS session service
143/tcp,udp          imap         imap2 imap4          # Internet message access
161/tcp,udp          snmp                              # Simple network management
162/tcp,udp          snmptrap     snmp-trap            # SNMP traps
163/tcp,udp          cmip-man                          # CMIP manager
164/tcp,udp          cmip-agent                        # CMIP agent
174/tcp,udp          mailq                             # Mail queue
177/tcp,udp          xdmcp                             # X display manager control
178/tcp,udp          nextstep                          # NextStep window server
179/tcp,udp,sctp     bgp                               # Border gateway protocol
191/tcp,udp          prospero                          # Prospero directory service
194/tcp,udp          irc                               # Internet relay chat
199/tcp,udp          smux                              # SNMP multiplexing
201/tcp,udp          at-rtmp                           # AppleTalk routing maintenance
209/tcp,udp          qmtp                              # Quick mail transfer
210/tcp,udp          z39-50       z3950 wais           # ANSI Z39.50
213/tcp,udp          ipx                               # IPX over IP
220/tcp,udp          imap3                             # Interactive mail access 3
264/tcp,udp          bgmp                              # Border gateway multicast
308/tcp,udp          novastorbakcup                    # Novastor backup
318/tcp,udp          pkix-timestamp                    # PKIX timestamp
319/tcp,udp          ptp-event                         # Precision time, events
320/tcp,udp          ptp-general                       # Precision time, general
345/tcp,udp          pawserv                           # Perf analysis workbench
346/tcp,udp          zserv                             # Zebra server
369/tcp,udp          rpc2portmap                       # Coda port mapper
370/tcp,udp          codaauth2                         # Coda authentication
371/tcp,udp          clearcase                         # ClearCase
383/tcp,udp          hp-alarm-mgr                      # HP performance alarm manager
389/tcp,udp          ldap                              # Lightweight directory access
427/tcp,udp          svrloc                            # Service location
434/tcp,udp          mobileip-agent                    # Mobile IP agent
443/tcp,udp,sctp     https                             # World wide web over TLS
444/tcp,udp          snpp                              # Simple network paging
445/tcp,udp          microsoft-ds cifs smb             # SMB file sharing
464/tcp,udp          kpasswd      kpasswd5             # Kerberos password change
465/tcp              submissions  smtps ssmtp urd      # Message submission over TLS
465/udp              igmpv3lite                        # IGMP over UDP for SSM
487/tcp,udp          saft                              # Simple asynchronous file transfer
496/tcp,udp          pim-rp-disc                       # PIM rendezvous point discovery
500/tcp,udp          isakmp       ike                  # IPsec key exchange
502/tcp,udp          mbap         modbus               # Modbus
512/tcp              exec                              # Remote process execution
512/udp              comsat       biff                 # Mail notification
513/tcp              login                             # Remote login
513/udp              who          whod                 # Who is logged in
514/tcp              shell        cmd                  # Remote shell
514/udp              syslog                            # System log
515/tcp,udp          printer      spooler              # Line printer spooler
517/tcp,udp          talk                              # Talk
518/tcp,udp          ntalk                             # Talk, new
520/tcp              efs                               # Extended file name server
520/udp              router       route routed         # Routing information protocol (RIP)
521/tcp,udp          ripng                             # RIP for IPv6
525/tcp,udp          timed        timeserver           # Time server
530/tcp,udp          courier      rpc                  # RPC
531/tcp,udp          conference   chat                 # Chat
532/tcp,udp          netnews                           # Netnews
533/tcp,udp          netwall                           # Emergency broadcasts
538/tcp,udp          gdomap                            # GNUstep distributed objects
540/tcp,udp          uucp         uucpd                # UUCP
543/tcp,udp          klogin                            # Kerberos login
544/tcp,udp          kshell       krcmd                # Kerberos shell
546/tcp,udp          dhcpv6-client                     # DHCPv6 client
547/tcp,udp          dhcpv6-server                     # DHCPv6 server
548/tcp,udp          afpovertcp                        # Apple filing
554/tcp,udp          rtsp                              # Real time streaming
556/tcp,udp          remotefs     rfs_server rfs       # Remote file system
563/tcp,udp          nntps        snntp                # Network news over TLS
587/tcp,udp          submission                        # Message submission
591/tcp,udp          http-alt                          # FileMaker web
593/tcp,udp          http-rpc-epmap                    # RPC endpoint map over HTTP
601/tcp,udp          syslog-conn                       # Reliable syslog
607/tcp,udp          nqs                               # Network queuing
623/tcp              oob-ws-http                       # DMTF out-of-band web services
623/udp              asf-rmcp     ipmi                 # ASF remote management, IPMI
628/tcp,udp          qmqp                              # Quick mail queueing
631/tcp,udp          ipp          ipps cups            # Internet printing
636/tcp,udp          ldaps                             # LDAP over TLS
639/tcp,udp          msdp                              # Multicast source discovery
646/tcp,udp          ldp                               # Label distribution
647/tcp,udp          dhcp-failover                     # DHCP failover
655/tcp,udp          tinc                              # tinc VPN
666/tcp,udp          doom         mdqs                 # Doom
674/tcp,udp          acap                              # Application configuration access
688/tcp,udp          realm-rusd                        # ApplianceWare management
694/tcp,udp          ha-cluster                        # Heartbeat of a cluster
698/udp              olsr                              # Optimized link state routing
700/tcp,udp          epp                               # Extensible provisioning
706/tcp,udp          silc                              # Secure live conferencing
749/tcp,udp          kerberos-adm                      # Kerberos administration
750/udp              kerberos-iv  kerberos4 loadav kdc # Kerberos 4
751/tcp,udp          pump         kerberos-master      # Kerberos 4 authentication
754/tcp,udp          tell         krb-prop krb5_prop hprop  # Kerberos propagation
783/tcp              spamd                             # SpamAssassin (not assigned)
800/tcp,udp          mdbs-daemon                       # MDBS
802/tcp,udp          mbap-s                            # Modbus over TLS
830/tcp,udp          netconf-ssh                       # NETCONF over SSH
847/tcp,udp          dhcp-failover2                    # DHCP failover 2
853/tcp,udp          domain-s     dns-over-tls dot     # DNS over TLS or QUIC
860/tcp,udp          iscsi                             # iSCSI
861/tcp,udp          owamp-control                     # One-way active measurement
862/tcp,udp          twamp-control                     # Two-way active measurement
873/tcp,udp          rsync                             # rsync
989/tcp,udp          ftps-data                         # File transfer over TLS, data
990/tcp,udp          ftps                              # File transfer over TLS, control
991/tcp,udp          nas                               # Netnews administration
992/tcp,udp          telnets                           # Telnet over TLS
993/tcp,udp          imaps        imap4s               # Internet message access over TLS
995/tcp,udp          pop3s        spop3                # Post office protocol 3 over TLS
1080/tcp,udp         socks                             # SOCKS proxy
1093/tcp,udp         proofd                            # PROOF
1094/tcp,udp         rootd                             # ROOT files
1099/tcp,udp         rmiregistry                       # Java RMI registry
1194/tcp,udp         openvpn                           # OpenVPN
1214/tcp,udp         kazaa                             # Kazaa
1234/tcp,udp         search-agent                      # Infoseek search agent
1241/tcp,udp         nessus                            # Nessus
1270/tcp,udp         opsmgr                            # Microsoft operations manager
1293/tcp,udp         pkt-krb-ipsec                     # PKT-KRB-IPSec
1311/tcp,udp         rxmon                             # RxMon, Dell OpenManage
1344/tcp,udp         icap                              # Internet content adaptation
1352/tcp,udp         lotusnote    lotusnotes           # Lotus Notes
1414/tcp,udp         ibm-mqseries mqseries             # IBM MQ
1433/tcp,udp         ms-sql-s     mssql                # Microsoft SQL server
1434/tcp,udp         ms-sql-m                          # Microsoft SQL monitor
1494/tcp,udp         ica                               # Citrix ICA
1512/tcp,udp         wins                              # Windows internet name service
1521/tcp,udp         ncube-lm     oracle               # nCube licences; Oracle in practice
1524/tcp,udp         ingreslock   ingres               # Ingres
1525/tcp,udp         prospero-np  orasrv               # Prospero, non-privileged
1604/tcp,udp         icabrowser                        # Citrix ICA browser
1645/tcp,udp         sightline    datametrics old-radius  # RADIUS, the old port
1646/tcp,udp         sa-msg-port  old-radacct          # RADIUS accounting, the old port
1649/tcp,udp         kermit                            # Kermit
1677/tcp,udp         groupwise                         # GroupWise
1701/tcp,udp         l2tp         l2f                  # Layer 2 tunnelling
1719/tcp,udp         h323gatestat                      # H.323 gatekeeper
1720/tcp,udp         h323hostcall                      # H.323 call control
1723/tcp,udp         pptp                              # Point-to-point tunnelling
1755/tcp,udp         ms-streaming                      # Microsoft media server
1801/tcp,udp         msmq                              # Microsoft message queue
1812/tcp,udp         radius                            # RADIUS
1813/tcp,udp         radius-acct  radacct              # RADIUS accounting
1883/tcp,udp         mqtt                              # MQTT
1900/tcp,udp         ssdp                              # Simple service discovery (UPnP)
1935/tcp,udp         macromedia-fcs rtmp               # Flash streaming (RTMP)
1967/udp             sns-quote                         # SNS quote
1985/tcp,udp         hsrp                              # Hot standby router
2000/tcp,udp         cisco-sccp                        # Cisco skinny calls
2049/tcp,udp,sctp    nfs          nfsd                 # Network file system
2055/tcp,udp         iop          netflow              # NetFlow in practice
2082/tcp,udp         infowave     cpanel               # cPanel in practice
2083/tcp,udp         radsec                            # RADIUS over TLS
2086/tcp,udp         gnunet                            # GNUnet
2101/tcp,udp         rtcm-sc104                        # Differential GNSS (NTRIP)
2102/tcp,udp         zephyr-srv                        # Zephyr server
2103/tcp,udp         zephyr-clt                        # Zephyr serv-hm connection
2104/tcp,udp         zephyr-hm                         # Zephyr hostmanager
2119/tcp,udp         gsigatekeeper                     # Globus gatekeeper
2135/tcp,udp         gris                              # Grid resource information
2152/tcp,udp         gtp-user                          # GTP user plane
2123/tcp,udp         gtp-control                       # GTP control plane
2181/tcp,udp         eforward     zookeeper            # ZooKeeper in practice
2222/tcp,udp         ethernet-ip-1 ssh-alt             # EtherNet/IP I/O; often SSH
2375/tcp             docker                            # Docker
2376/tcp             docker-s                          # Docker over TLS
2377/tcp             swarm                             # Docker swarm management
2379/tcp             etcd-client                       # etcd, clients
2380/tcp             etcd-server                       # etcd, between servers
2401/tcp,udp         cvspserver                        # CVS
2404/tcp,udp         iec-104                           # IEC 60870-5-104
2427/tcp,udp         mgcp-gateway                      # Media gateway control
2430/tcp,udp         venus                             # Coda Venus
2431/tcp,udp         venus-se                          # Coda Venus side effects
2432/tcp,udp         codasrv                           # Coda server
2433/tcp,udp         codasrv-se                        # Coda server side effects
2483/tcp,udp         ttc                               # Oracle
2484/tcp,udp         ttc-ssl                           # Oracle over TLS
2583/tcp,udp         mon                               # mon
2628/tcp,udp         dict                              # Dictionary server
2638/tcp,udp         sybaseanywhere                    # SQL Anywhere
2727/tcp,udp         mgcp-callagent                    # Media gateway call agent
2775/tcp,udp         smpp                              # Short messages peer to peer
2792/tcp,udp         f5-globalsite                     # F5 Global Site
2811/tcp,udp         gsiftp                            # GridFTP
2944/tcp,udp,sctp    megaco-h248  h248-text            # Megaco H.248
2947/tcp,udp         gpsd                              # GPS daemon
2967/tcp,udp         ssc-agent                         # Symantec agent
3000/tcp,udp         hbci         remoteware-cl        # HBCI; often a development server
3001/tcp             origo-native                      # Origo native
3050/tcp,udp         gds-db       gds_db firebird      # InterBase, Firebird
3052/tcp,udp         apc-3052     powerchute           # APC power management
3128/tcp,udp         ndl-aas      squid-http           # Squid proxy in practice
3130/tcp,udp         icpv2        icp                  # Internet cache protocol
3205/tcp,udp         isns                              # iSCSI name service
3260/tcp,udp         iscsi-target                      # iSCSI target
3268/tcp,udp         msft-gc                           # Active Directory global catalogue
3269/tcp,udp         msft-gc-ssl                       # Global catalogue over TLS
3306/tcp,udp         mysql        mariadb              # MySQL
3343/udp             ms-cluster-net                    # Microsoft cluster
3389/tcp,udp         ms-wbt-server rdp                 # Remote desktop
3478/tcp,udp         stun         turn                 # STUN and TURN
3493/tcp,udp         nut                               # Network UPS tools
3544/tcp,udp         teredo                            # Teredo
3632/tcp,udp         distcc                            # Distributed compiler
3689/tcp,udp         daap                              # Digital audio access
3690/tcp,udp         svn          subversion           # Subversion
3702/tcp,udp         ws-discovery                      # Web services discovery
3724/tcp,udp         blizwow                           # World of Warcraft
3784/tcp,udp         bfd-control                       # Bidirectional forwarding detection
3785/tcp,udp         bfd-echo                          # Forwarding detection, echo
3868/tcp,sctp        diameter                          # Diameter
4000/tcp,udp         terabase     icq                  # Terabase
4031/tcp,udp         suucp                             # UUCP over TLS
4094/tcp,udp         sysrqd                            # sysrq daemon
4190/tcp,sctp        sieve                             # ManageSieve
4222/tcp             nats                              # NATS (not assigned)
4353/tcp,udp         f5-iquery                         # F5 iQuery
4369/tcp,udp         epmd                              # Erlang port mapper
4373/tcp,udp         remctl                            # Remote authenticated command
4443/tcp,udp         pharos       https-alt-4443       # Pharos; often HTTPS
4444/tcp,udp         nv-video     krb524               # NV video
4460/tcp             ntske        nts-ke               # Network time security
4500/tcp,udp         ipsec-nat-t                       # IPsec through NAT
4505/tcp             salt-publish                      # Salt, publishing (not assigned)
4506/tcp             salt-request                      # Salt, requests (not assigned)
4569/tcp,udp         iax                               # Inter-Asterisk exchange
4691/tcp,udp         monotone     mtn                  # Monotone
4739/tcp,udp,sctp    ipfix                             # IP flow information export
4740/tcp,udp,sctp    ipfixs                            # IP flow export over TLS
4789/udp             vxlan                             # Virtual extensible LAN
4790/udp             vxlan-gpe                         # VXLAN, generic
4899/tcp,udp         radmin-port                       # Radmin
4949/tcp             munin        lrrd                 # Munin
5000/tcp,udp         commplex-main                     # Complex main; often a development server
5001/tcp,udp         commplex-link iperf               # Complex link; iperf in practice
5003/tcp,udp         fmpro-internal                    # FileMaker
5004/tcp,udp,dccp    avt-profile-1 rtp                 # RTP media
5005/tcp,udp,dccp    avt-profile-2 rtcp                # RTP control
5044/tcp             lxi-evntsvc  beats                # LXI events; Logstash in practice
5050/tcp,udp         mmcc                              # Multimedia conference control
5060/tcp,udp,sctp    sip                               # Session initiation
5061/tcp,udp,sctp    sips         sip-tls              # Session initiation over TLS
5190/tcp,udp         aol          aim                  # AOL messenger
5201/tcp,udp         targus-getdata1 iperf3            # iperf3 in practice
5222/tcp,udp         xmpp-client  jabber-client        # XMPP, clients
5223/tcp,udp         hpvirtgrp    xmpp-client-tls      # XMPP clients over TLS in practice
5228/tcp,udp         hpvroom                           # Google push in practice
5246/udp             capwap-control                    # Access point control
5247/udp             capwap-data                       # Access point data
5269/tcp,udp         xmpp-server  jabber-server        # XMPP, between servers
5280/tcp             xmpp-bosh                         # XMPP over HTTP
5298/tcp,udp         presence                          # XMPP link-local messaging
5308/tcp,udp         cfengine                          # CFEngine
5349/tcp,udp         stuns        turns                # STUN and TURN over TLS
5351/tcp,udp         nat-pmp                           # NAT port mapping
5353/udp             mdns                              # Multicast DNS
5354/tcp,udp         mdnsresponder                     # Multicast DNS responder
5355/tcp,udp         llmnr                             # Link-local multicast name resolution
5357/tcp,udp         wsdapi                            # Web services for devices
5405/tcp,udp         netsupport                        # NetSupport; corosync in practice
5432/tcp,udp         postgresql   postgres             # PostgreSQL
5433/tcp,udp         pyrrho                            # Pyrrho
5500/tcp,udp         fcp-addr-srvr1 vnc-listen         # VNC viewer listening in practice
5555/tcp,udp         personal-agent rplay              # Personal agent; Android debug in practice
5556/tcp,udp         freeciv                           # Freeciv
5568/tcp,udp         sdt                               # Session data transport
5601/tcp             esmagent     kibana               # Kibana in practice
5631/tcp,udp         pcanywheredata                    # pcANYWHERE data
5632/tcp,udp         pcanywherestat                    # pcANYWHERE status
5666/tcp             nrpe                              # Nagios remote plugins
5667/tcp             nsca                              # Nagios passive checks
5671/tcp,udp         amqps                             # AMQP over TLS
5672/tcp,udp,sctp    amqp                              # AMQP
5683/tcp,udp         coap                              # Constrained application
5684/tcp,udp         coaps                             # Constrained application over TLS
5693/tcp             rbsystem     ncpa                 # Robert Bosch; NCPA in practice
5800/tcp             vnc-http                          # VNC over HTTP (not assigned)
5900/tcp,udp         rfb          vnc vnc-server       # Remote framebuffer (VNC)
5901/tcp             vnc-1                             # VNC display 1 (not assigned)
5938/tcp,udp         teamviewer                        # TeamViewer (not assigned)
5984/tcp,udp         couchdb                           # CouchDB
5985/tcp,udp         wsman        winrm                # WS-Management
5986/tcp,udp         wsmans       winrms               # WS-Management over TLS
6000/tcp,udp         x11          x11-0                # X window system
6001/tcp,udp         x11-1                             # X window system, display 1
6002/tcp,udp         x11-2                             # X window system, display 2
6003/tcp,udp         x11-3                             # X window system, display 3
6004/tcp,udp         x11-4                             # X window system, display 4
6005/tcp,udp         x11-5                             # X window system, display 5
6006/tcp,udp         x11-6                             # X window system, display 6
6007/tcp,udp         x11-7                             # X window system, display 7
6080/udp             gue                               # Generic UDP encapsulation
6081/udp             geneve                            # Geneve
6343/tcp,udp         sflow                             # sFlow
6346/tcp,udp         gnutella-svc                      # Gnutella
6347/tcp,udp         gnutella-rtr                      # Gnutella router
6379/tcp             redis                             # Redis
6432/tcp             pgbouncer                         # PgBouncer
6443/tcp             sun-sr-https kubernetes           # Kubernetes in practice
6444/tcp,udp         sge-qmaster  sge_qmaster          # Grid engine master
6445/tcp,udp         sge-execd    sge_execd            # Grid engine execution
6446/tcp,udp         mysql-proxy                       # MySQL proxy
6513/tcp             netconf-tls                       # NETCONF over TLS
6514/tcp,udp,dccp    syslog-tls                        # Syslog over TLS
6566/tcp             sane-port    sane saned           # SANE scanners
6600/tcp             mshvlm       mpd                  # Music player daemon in practice
6633/tcp             openflow-old                      # OpenFlow, the old port (not assigned)
6640/tcp             ovsdb                             # Open vSwitch database
6653/tcp,udp         openflow                          # OpenFlow
6660/tcp             ircd-6660                         # Internet relay chat (not assigned)
6667/tcp             ircd                              # Internet relay chat (not assigned)
6696/udp             babel                             # Babel routing
6697/tcp             ircs-u       ircs                 # Internet relay chat over TLS
6881/tcp,udp         bittorrent                        # BitTorrent (not assigned)
7000/tcp,udp         afs3-fileserver bbs               # AFS; Cassandra in practice
7001/tcp,udp         afs3-callback                     # AFS callbacks
7002/tcp,udp         afs3-prserver                     # AFS users and groups
7003/tcp,udp         afs3-vlserver                     # AFS volume location
7004/tcp,udp         afs3-kaserver                     # AFS authentication
7005/tcp,udp         afs3-volser                       # AFS volumes
7006/tcp,udp         afs3-errors                       # AFS errors
7007/tcp,udp         afs3-bos                          # AFS overseer
7008/tcp,udp         afs3-update                       # AFS updater
7009/tcp,udp         afs3-rmtsys                       # AFS remote cache manager
7070/tcp,udp         arcp         realserver           # ARCP
7077/tcp             spark-master                      # Spark (not assigned)
7100/tcp,udp         font-service xfs                  # X font service
7400/tcp,udp         rtps-discovery                    # DDS discovery
7474/tcp             neo4j                             # Neo4j
7547/tcp,udp         cwmp                              # Customer premises management (TR-069)
7626/tcp             simco                             # Middlebox configuration
7680/tcp             pando-pub                         # Windows delivery optimization in practice
7687/tcp             bolt                              # Bolt, Neo4j
7777/tcp,udp         cbt                               # cbt
7946/tcp,udp         swarm-gossip                      # Docker swarm gossip (not assigned)
8000/tcp,udp         irdmi        http-8000            # iRDMI; often a development server
8005/tcp             mxi                               # MXI; Tomcat shutdown in practice
8008/tcp,udp         http-alt                          # World wide web, another port
8009/tcp             nvme-disc    ajp13                # NVMe discovery; AJP in practice
8021/tcp             intu-ec-client zope-ftp           # Intuit
8025/tcp             ca-audit-da  mailhog              # CA audit
8053/tcp             senomix01                         # Senomix timesheets
8081/tcp,udp         sunproxyadmin tproxy blackice-icecap  # Sun proxy administration
8086/tcp             d-s-n        influxdb             # InfluxDB in practice
8088/tcp,udp         radan-http   omniorb              # Radan HTTP
8089/tcp             splunkd                           # Splunk (not assigned)
8091/tcp             jamlink      couchbase            # Couchbase in practice
8118/tcp,udp         privoxy                           # Privoxy
8123/tcp             home-assistant polipo             # Home Assistant, ClickHouse (not assigned)
8125/udp             statsd                            # StatsD (not assigned)
8140/tcp             puppet                            # Puppet
8161/tcp             patrol-snmp  activemq-web         # Patrol SNMP
8200/tcp,udp         trivnet1     vault                # Vault in practice
8291/tcp             winbox                            # MikroTik (not assigned)
8300/tcp             tmi          consul               # Consul servers in practice
8301/tcp,udp         amberon      consul-serf          # Consul gossip in practice
8333/tcp             bitcoin                           # Bitcoin (not assigned)
8383/tcp,udp         m2mservices                       # Machine to machine services
8443/tcp,udp         pcsync-https https-alt            # HTTPS, another port
8472/udp             otv          vxlan-linux          # Overlay transport; Linux VXLAN
8500/tcp             fmtp         consul-http          # Consul HTTP in practice
8554/tcp,udp         rtsp-alt                          # Real time streaming, another port
8600/tcp,udp         asterix      consul-dns           # Surveillance data; Consul DNS in practice
8883/tcp,udp         secure-mqtt  mqtts                # MQTT over TLS
8888/tcp             ddi-tcp-1    jupyter              # NewsEDGE; Jupyter in practice
8983/tcp             solr                              # Solr (not assigned)
8990/tcp,udp         http-wmap    clc-build-daemon     # Web mapping
8998/tcp             canto-roboflow                    # Canto
8999/tcp,udp         bctp                              # Brodos crypto trade
9000/tcp,udp         cslistener   php-fpm              # CSlistener; php-fpm in practice
9001/tcp,udp         etlservicemgr tor-orport          # ETL service manager; Tor in practice
9042/tcp             cassandra                         # Cassandra clients (not assigned)
9050/tcp             versiera     tor-socks            # Versiera; Tor SOCKS in practice
9080/tcp,udp         glrpc                             # Groove
9090/tcp,udp         websm        prometheus           # WebSM; Prometheus in practice
9091/tcp,udp         xmltec-xmlmail transmission       # Transmission in practice
9092/tcp,udp         XmlIpcRegSvc kafka                # Kafka in practice
9093/tcp             copycat      alertmanager         # Alertmanager in practice
9098/tcp             xinetd                            # xinetd (not assigned)
9100/tcp,udp         hp-pdl-datastr jetdirect pdl-datastream  # Raw printing; node exporter in practice
9101/tcp,udp         bacula-dir                        # Bacula director
9102/tcp,udp         bacula-fd                         # Bacula file daemon
9103/tcp,udp         bacula-sd                         # Bacula storage daemon
9160/tcp,udp         apani1       cassandra-thrift     # Cassandra Thrift in practice
9200/tcp,udp         wap-wsp      elasticsearch        # WAP; Elasticsearch in practice
9300/tcp,udp         vrace        elasticsearch-node   # Elasticsearch nodes in practice
9389/tcp,udp         adws                              # Active Directory web services
9418/tcp,udp         git                               # Git
9443/tcp,udp         tungsten-https                    # WSO2; often HTTPS
9535/tcp,udp         mngsuite                          # LANDesk
9600/tcp,udp         micromuse-ncpw                    # Micromuse
9667/tcp,udp         xmms2                             # XMMS2
9673/tcp             zope                              # Zope (not assigned)
9876/tcp,udp         sd                                # Session director
9987/tcp,udp         dsm-scm-target teamspeak          # TeamSpeak in practice
9993/tcp,udp         palace-2     zerotier             # ZeroTier in practice
9999/tcp,udp         distinct                          # distinct
10000/tcp,udp        ndmp         webmin               # Network data management; Webmin in practice
10050/tcp,udp        zabbix-agent                      # Zabbix agent
10051/tcp,udp        zabbix-trapper                    # Zabbix server
10080/tcp,udp        amanda                            # Amanda backup
10081/tcp            famdc        kamanda              # Amanda with Kerberos
10082/tcp            amandaidx                         # Amanda index
10083/tcp            amidxtape                         # Amanda tape
10250/tcp            kubelet                           # Kubernetes node agent (not assigned)
10809/tcp            nbd                               # Network block device
11112/tcp,udp        dicom                             # DICOM
11211/tcp,udp        memcache     memcached            # memcached
11371/tcp,udp        hkp          pksd                 # OpenPGP key server
11434/tcp            ollama                            # Ollama (not assigned)
13720/tcp,udp        bprd                              # NetBackup request
15672/tcp            rabbitmq-mgmt                     # RabbitMQ management (not assigned)
17001/udp            sgi-cmsd                          # Cluster membership
17500/tcp,udp        db-lsp                            # Dropbox in the local network
18080/tcp            monero                            # Monero (not assigned)
19132/udp            minecraft-be                      # Minecraft Bedrock (not assigned)
20000/tcp,udp        dnp          dnp3                 # DNP3
22125/tcp            dcap                              # dCache
22128/tcp            gsidcap                           # dCache with GSI
22273/tcp,udp        wnn6                              # wnn6
24554/tcp,udp        binkp                             # Binkp
25565/tcp            minecraft                         # Minecraft (not assigned)
25672/tcp            rabbitmq-dist                     # RabbitMQ nodes (not assigned)
26257/tcp            cockroachdb                       # CockroachDB (not assigned)
27015/tcp,udp        srcds        halflife             # Source games (not assigned)
27017/tcp            mongodb      mongod               # MongoDB
27018/tcp            mongodb-shard                     # MongoDB shard (not assigned)
28017/tcp            mongodb-web                       # MongoDB web (not assigned)
30865/tcp            csync2                            # Cluster synchronization
32400/tcp            plex                              # Plex (not assigned)
33060/tcp            mysqlx                            # MySQL X protocol
34197/udp            factorio                          # Factorio (not assigned)
34962/tcp,udp        profinet-rt                       # PROFINET real time
44818/tcp,udp        ethernet-ip-2                     # EtherNet/IP messaging
47001/tcp            winrm-local                       # WS-Management on the machine itself
47808/tcp,udp        bacnet                            # Building automation
50000/tcp            db2                               # Db2 (not assigned)
50051/tcp            grpc                              # gRPC examples (not assigned)
51820/udp            wireguard                         # WireGuard (not assigned)
57000/tcp            dircproxy                         # IRC proxy (not assigned)
60177/tcp            tfido                             # Fidonet over telnet (not assigned)
60179/tcp            fido                              # Fidonet (not assigned)
64738/tcp,udp        mumble                            # Mumble (not assigned)
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A service: its registered name, port, the protocols it is registered for, other names, and what it is.

    `assigned` is false for a port that IANA has not given to it but where it is commonly found.
    """

    name: str
    port: int
    protocols: tuple[str, ...]
    aliases: tuple[str, ...]
    title: str
    assigned: bool = True

    def __str__(self) -> str:
        """The registered name."""
        return self.name


def _parse(line: str) -> Service:
    entry, _, title = line.partition("#")
    place, name, *aliases = entry.split()
    port, _, protocols = place.partition("/")
    assigned = "not assigned" not in title and "no longer assigned" not in title
    return Service(name, int(port), tuple(protocols.split(",")), tuple(aliases), title.strip(), assigned)


@lru_cache(maxsize=1)
def _lines() -> tuple[Service, ...]:
    return tuple(_parse(line) for line in _TABLE.split("\n") if line)


@lru_cache(maxsize=1)
def table() -> tuple[Service, ...]:
    """Every service that portside knows, by port."""
    return tuple(sorted(_lines(), key=lambda service: service.port))


@lru_cache(maxsize=1)
def _by_port() -> dict[tuple[int, str], Service]:
    found: dict[tuple[int, str], Service] = {}
    for service in table():
        for protocol in service.protocols:
            found.setdefault((service.port, protocol), service)
    return found


@lru_cache(maxsize=1)
def _by_name() -> dict[tuple[str, str], Service]:
    """Registered names first, so that an alias never hides one."""
    found: dict[tuple[str, str], Service] = {}
    for service in _lines():
        for protocol in service.protocols:
            found.setdefault((service.name.lower(), protocol), service)
    for service in _lines():
        for alias in service.aliases:
            for protocol in service.protocols:
                found.setdefault((alias.lower(), protocol), service)
    return found


PROTOCOLS: Final = ("tcp", "udp", "sctp", "dccp")


def by_port(port: int, protocol: str | None = None) -> Service | None:
    """The service registered for the port (getservbyport(3)).

    `protocol` is `tcp`, `udp`, `sctp` or `dccp`; None asks for the first of them, in this order. None when
    there is none.
    """
    ports = _by_port()
    if protocol is not None:
        return ports.get((port, protocol))
    return next((ports[port, p] for p in PROTOCOLS if (port, p) in ports), None)


def by_name(name: str, protocol: str | None = None) -> Service | None:
    """The service of that name or alias, whatever its case (getservbyname(3)).

    `protocol` as in `by_port`. None when there is none.
    """
    names = _by_name()
    if protocol is not None:
        return names.get((name.lower(), protocol))
    return next((names[name.lower(), p] for p in PROTOCOLS if (name.lower(), p) in names), None)
